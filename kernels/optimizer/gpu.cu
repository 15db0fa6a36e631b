// Adam and the moving average: every array is read once and written once, 16 bytes a thread.
//
//     thread            0        1        2      ...
//     parameter    |........|........|........|
//     gradient     |........|........|........|      one Pack of each: 4 floats or 2 doubles
//     mean, square |........|........|........|      read and written
//     result       |........|........|........|
#include "../device.cuh"

// beta * old + rest * new, where rest = 1 - beta, starting from the one with the greater weight (see cpu.py).
__device__ __forceinline__ T mix(T old, T now, T beta, T rest) {
    return beta > rest ? old + rest * (now - old) : now + beta * (old - now);
}

struct Adam {
    T keep, decay, beta1, rest1, beta2, rest2, step_size, root, eps;

    __device__ __forceinline__ T step(T parameter, T gradient, T& mean, T& square) const {
        const T p = keep * parameter;
        const T g = gradient + decay * p;
        mean = mix(mean, g, beta1, rest1);
        square = mix(square, g * g, beta2, rest2);
        return p - step_size * mean / (sqrt(square) / root + eps);
    }
};

// result may be parameter: a thread writes only where it has read.
extern "C" __global__ void adam(const T* parameter, const T* gradient, T* mean, T* square, T keep, T decay, T beta1,
                                T rest1, T beta2, T rest2, T step_size, T root, T eps, T* result, long long count) {
    const Adam rule = {keep, decay, beta1, rest1, beta2, rest2, step_size, root, eps};
    const bool whole = aligned(parameter) && aligned(gradient) && aligned(mean) && aligned(square) && aligned(result);
    const long long packs = whole ? count / PACK : 0;
    FOR_EACH(i, packs) {
        Pack p = ((const Pack*)parameter)[i], m = ((Pack*)mean)[i], s = ((Pack*)square)[i];
        const Pack g = ((const Pack*)gradient)[i];
        for (int j = 0; j < PACK; j++) p.v[j] = rule.step(p.v[j], g.v[j], m.v[j], s.v[j]);
        ((Pack*)mean)[i] = m;
        ((Pack*)square)[i] = s;
        ((Pack*)result)[i] = p;
    }
    FOR_EACH(i, count - packs * PACK) {
        const long long k = packs * PACK + i;
        T m = mean[k], s = square[k];
        result[k] = rule.step(parameter[k], gradient[k], m, s);
        mean[k] = m;
        square[k] = s;
    }
}

extern "C" __global__ void ema(const T* average, const T* parameter, T decay, T rest, T* result, long long count) {
    const long long packs = aligned(average) && aligned(parameter) && aligned(result) ? count / PACK : 0;
    FOR_EACH(i, packs) {
        Pack a = ((const Pack*)average)[i];
        const Pack p = ((const Pack*)parameter)[i];
        for (int j = 0; j < PACK; j++) a.v[j] = mix(a.v[j], p.v[j], decay, rest);
        ((Pack*)result)[i] = a;
    }
    FOR_EACH(i, count - packs * PACK) {
        const long long k = packs * PACK + i;
        result[k] = mix(average[k], parameter[k], decay, rest);
    }
}
