// Adam and the moving average, for all parameters of a network in one launch: every array is read once and written
// once, 16 bytes a thread.
//
//     block          0        1        2        3        4    ...
//     array     |  parameters[0]  |        parameters[1]       | ...     in parts of PART elements; the last is shorter
//
//     thread            0        1        2      ...
//     parameter    |........|........|........|
//     gradient     |........|........|........|      one Pack of each: 4 floats or 2 doubles
//     mean, square |........|........|........|      read and written
//     result       |........|........|........|
//
// What changes from step to step comes by value, or from ``live`` where that is not null: a CUDA graph keeps the
// arguments that it was captured with, and reads memory anew.
#include "../device.cuh"

const int PART = 4 * 256 * PACK;

// The part of an array that a block works on.
struct Part {
    int array;
    long long first, last;
};

__device__ __forceinline__ Part part_of(const Counts& count) {
    long long part = blockIdx.x;
    int array = 0;
    for (;; array++) {
        const long long parts = (count.at[array] + PART - 1) / PART;
        if (part < parts) break;
        part -= parts;
    }
    const long long first = part * PART, end = count.at[array];
    return {array, first, first + PART < end ? first + PART : end};
}

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

// A result may be its parameter: a thread writes only where it has read.
extern "C" __global__ void adam(const Arrays parameters, const Arrays gradients, Arrays means, Arrays squares,
                                Arrays results, const Counts count, T decay, T beta1, T rest1, T beta2, T rest2, T eps,
                                T keep, T step_size, T root, const T* live) {
    const Part part = part_of(count);
    const T *parameter = parameters.at[part.array], *gradient = gradients.at[part.array];
    T *mean = means.at[part.array], *square = squares.at[part.array], *result = results.at[part.array];
    if (live) keep = live[0], step_size = live[1], root = live[2];
    const Adam rule = {keep, decay, beta1, rest1, beta2, rest2, step_size, root, eps};
    const bool whole = aligned(parameter) && aligned(gradient) && aligned(mean) && aligned(square) && aligned(result);
    const long long packed = whole ? part.last / PACK * PACK : part.first;
    for (long long k = part.first + threadIdx.x * PACK; k < packed; k += blockDim.x * PACK) {
        Pack p = *(const Pack*)(parameter + k), m = *(Pack*)(mean + k), s = *(Pack*)(square + k);
        const Pack g = *(const Pack*)(gradient + k);
        for (int j = 0; j < PACK; j++) p.v[j] = rule.step(p.v[j], g.v[j], m.v[j], s.v[j]);
        *(Pack*)(mean + k) = m;
        *(Pack*)(square + k) = s;
        *(Pack*)(result + k) = p;
    }
    for (long long k = packed + threadIdx.x; k < part.last; k += blockDim.x) {
        T m = mean[k], s = square[k];
        result[k] = rule.step(parameter[k], gradient[k], m, s);
        mean[k] = m;
        square[k] = s;
    }
}

extern "C" __global__ void ema(const Arrays averages, const Arrays parameters, Arrays results, const Counts count,
                               T decay, T rest, const T* live) {
    const Part part = part_of(count);
    const T *average = averages.at[part.array], *parameter = parameters.at[part.array];
    T* result = results.at[part.array];
    if (live) decay = live[0], rest = live[1];
    const bool whole = aligned(average) && aligned(parameter) && aligned(result);
    const long long packed = whole ? part.last / PACK * PACK : part.first;
    for (long long k = part.first + threadIdx.x * PACK; k < packed; k += blockDim.x * PACK) {
        Pack a = *(const Pack*)(average + k);
        const Pack p = *(const Pack*)(parameter + k);
        for (int j = 0; j < PACK; j++) a.v[j] = mix(a.v[j], p.v[j], decay, rest);
        *(Pack*)(result + k) = a;
    }
    for (long long k = packed + threadIdx.x; k < part.last; k += blockDim.x) {
        result[k] = mix(average[k], parameter[k], decay, rest);
    }
}

// The sum of the squares of all elements: first of each part, in float64, then of the parts, both in a fixed order.
extern "C" __global__ void square_sums(const Arrays xs, const Counts count, double* partial) {
    __shared__ double scratch[32];
    const Part part = part_of(count);
    const T* x = xs.at[part.array];
    double sum = 0;
    for (long long k = part.first + threadIdx.x; k < part.last; k += blockDim.x) sum += double(x[k]) * double(x[k]);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void add_up(const double* partial, long long count, double* total) {
    __shared__ double scratch[32];
    double sum = 0;
    for (long long k = threadIdx.x; k < count; k += blockDim.x) sum += partial[k];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *total = sum;
}
