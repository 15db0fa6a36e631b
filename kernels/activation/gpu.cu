// Leaky ReLU and its gradient: flat arrays, 16 bytes a thread where every array begins at a multiple of 16.
//
//     thread        0        1        2      ...
//     x, y     |........|........|........|          one Pack each: 4 floats or 2 doubles
//
// What does not fill a Pack at the end, or all of an array that begins elsewhere, goes element by element.
#include "../device.cuh"

extern "C" __global__ void leaky_relu(const T* x, T slope, T* y, long long count) {
    const long long packs = aligned(x) && aligned(y) ? count / PACK : 0;
    FOR_EACH(p, packs) {
        Pack a = ((const Pack*)x)[p];
        for (int j = 0; j < PACK; j++) a.v[j] = leaky(a.v[j], a.v[j], slope);
        ((Pack*)y)[p] = a;
    }
    FOR_EACH(i, count - packs * PACK) {
        const T a = x[packs * PACK + i];
        y[packs * PACK + i] = leaky(a, a, slope);
    }
}

extern "C" __global__ void leaky_relu_grad(const T* gy, const T* x, T slope, T* gx, long long count) {
    const long long packs = aligned(gy) && aligned(x) && aligned(gx) ? count / PACK : 0;
    FOR_EACH(p, packs) {
        Pack g = ((const Pack*)gy)[p];
        const Pack a = ((const Pack*)x)[p];
        for (int j = 0; j < PACK; j++) g.v[j] = leaky(g.v[j], a.v[j], slope);
        ((Pack*)gx)[p] = g;
    }
    FOR_EACH(i, count - packs * PACK) {
        const long long k = packs * PACK + i;
        gx[k] = leaky(gy[k], x[k], slope);
    }
}
