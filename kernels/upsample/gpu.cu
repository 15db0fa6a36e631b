// Enlarging by an integer factor, and the transposes. Every result is gathered: one thread, one place to write to.
//
// Nearest with factor 2 both ways reads 8 bytes and writes 16 to each of two rows:
//
//     x row i       |a b|c d|            threads 0, 1 (floats)
//     y row 2i      |a a b b|c c d d|
//     y row 2i+1    |a a b b|c c d d|
#include "../device.cuh"

const int HALF = PACK / 2;
typedef Several<HALF> HalfPack;

extern "C" __global__ void nearest(const T* x, T* y, long long planes, int height, int width, int sh, int sw) {
    const int wide = width * sw;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * sh * wide) {
        const int row = k / wide, column = k - (long long)row * wide;
        y[p * height * sh * wide + k] = x[(p * height + row / sh) * width + column / sw];
    }
}

// Width is a multiple of HALF, and both arrays are aligned.
extern "C" __global__ void nearest_twice(const T* x, T* y, long long planes, int height, int width) {
    const int across = width / HALF;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * across) {
        const int row = k / across;
        const HalfPack a = ((const HalfPack*)x)[p * height * across + k];
        Pack b;
        for (int j = 0; j < PACK; j++) b.v[j] = a.v[j / 2];
        Pack* below = (Pack*)y + (p * height + row) * 2 * across + (k - (long long)row * across);
        below[0] = b;
        below[across] = b;
    }
}

extern "C" __global__ void nearest_grad(const T* gy, T* gx, long long planes, int height, int width, int sh, int sw) {
    const int wide = width * sw;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * width) {
        const int row = k / width, column = k - (long long)row * width;
        const T* corner = gy + (p * height + row) * sh * wide + column * sw;
        T total = 0;
        for (int a = 0; a < sh; a++)
            for (int b = 0; b < sw; b++) total += corner[(long long)a * wide + b];
        gx[p * height * width + k] = total;
    }
}

extern "C" __global__ void nearest_twice_grad(const T* gy, T* gx, long long planes, int height, int width) {
    const int across = width / HALF;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * across) {
        const int row = k / across;
        const Pack* above = (const Pack*)gy + (p * height + row) * 2 * across + (k - (long long)row * across);
        const Pack a = above[0], b = above[across];
        HalfPack sum;
        for (int j = 0; j < HALF; j++) sum.v[j] = ((a.v[2 * j] + a.v[2 * j + 1]) + b.v[2 * j]) + b.v[2 * j + 1];
        ((HalfPack*)gx)[p * height * across + k] = sum;
    }
}

// Bilinear: output s*i + r of one axis is own * x[i] + other * x[i + step]; cpu.py draws the weights.
struct Tap {
    int i, near;
    T own, other;

    __device__ __forceinline__ Tap(int position, int scale, int size) {
        i = position / scale;
        const int r = position - i * scale, half = scale / 2;
        // The tent 1 - |(k + 1/2)/s - 1/2| at k = r, and at k = r +- s for the neighbour
        own = T(2 * scale - abs(2 * r + 1 - scale)) / T(2 * scale);
        other = T(abs(2 * r + 1 - scale)) / T(2 * scale);
        near = i + (r < half ? -1 : r >= scale - half ? 1 : 0);
        if (near == i) own = other = T(0.5);  // the middle of an odd scale; a weight of 0 would make inf a NaN
        near = near < 0 ? 0 : near > size - 1 ? size - 1 : near;
    }
};

extern "C" __global__ void bilinear(const T* x, T* y, long long planes, int height, int width, int sh, int sw) {
    const int wide = width * sw;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * sh * wide) {
        const int row = k / wide;
        const Tap v(row, sh, height), h(k - (long long)row * wide, sw, width);
        const T* own = x + (p * height + v.i) * width;
        const T* near = x + (p * height + v.near) * width;
        const T here = v.own * own[h.i] + v.other * near[h.i], there = v.own * own[h.near] + v.other * near[h.near];
        y[p * height * sh * wide + k] = h.own * here + h.other * there;
    }
}

// With factor 2 both ways all weights are 3/4 and 1/4. A thread makes two packs of y, one below the other, from its
// half pack of x and what lies around it; neighbours read the same, from the first cache:
//
//     x row i-1   p|q r|s                y row 2i    3/4 row i + 1/4 row i-1, and across likewise
//     x row i     a|b c|d                y row 2i+1  3/4 row i + 1/4 row i+1
//     x row i+1   e|f g|h
extern "C" __global__ void bilinear_twice(const T* x, T* y, long long planes, int height, int width) {
    const int across = width / HALF;
    const T large = T(0.75), small = T(0.25);
    FOR_EACH_PIXEL(p, planes, k, (long long)height * across) {
        const int row = k / across, column = int(k - (long long)row * across) * HALF;
        const int left = column > 0 ? column - 1 : 0, right = column + HALF < width ? column + HALF : width - 1;
        T around[3][HALF + 2];
#pragma unroll
        for (int a = 0; a < 3; a++) {
            const int at = row + a - 1;
            const T* line = x + (p * height + (at < 0 ? 0 : at < height ? at : height - 1)) * width;
            const HalfPack middle = *(const HalfPack*)(line + column);
            around[a][0] = line[left];
#pragma unroll
            for (int j = 0; j < HALF; j++) around[a][j + 1] = middle.v[j];
            around[a][HALF + 1] = line[right];
        }
#pragma unroll
        for (int a = 0; a < 2; a++) {
            T between[HALF + 2];
#pragma unroll
            for (int j = 0; j < HALF + 2; j++) between[j] = large * around[1][j] + small * around[2 * a][j];
            Pack b;
#pragma unroll
            for (int j = 0; j < PACK; j++)
                b.v[j] = large * between[j / 2 + 1] + small * between[j / 2 + j % 2 * 2];
            *(Pack*)(y + ((p * height + row) * 2 + a) * 2 * width + 2 * column) = b;
        }
    }
}

// The transpose as a gather: what the edge repeated going forward comes back as gy mirrored at the edge.
__device__ __forceinline__ int mirrored(int position, int size) {
    return position < 0 ? -1 - position : position >= size ? 2 * size - 1 - position : position;
}

extern "C" __global__ void bilinear_grad(const T* gy, T* gx, long long planes, int height, int width, int sh, int sw) {
    const int tall = height * sh, wide = width * sw, hh = sh / 2, hw = sw / 2;
    FOR_EACH_PIXEL(p, planes, k, (long long)height * width) {
        const int row = k / width, column = k - (long long)row * width;
        T total = 0;
        for (int a = -hh; a < sh + hh; a++) {
            const T* line = gy + (p * tall + mirrored(row * sh + a, tall)) * wide;
            T across = 0;
            for (int b = -hw; b < sw + hw; b++)
                across += T(2 * sw - abs(2 * b + 1 - sw)) / T(2 * sw) * line[mirrored(column * sw + b, wide)];
            total += T(2 * sh - abs(2 * a + 1 - sh)) / T(2 * sh) * across;
        }
        gx[p * height * width + k] = total;
    }
}

// With factor 2 both ways: a thread gathers a pack of gx from four rows of gy, two packs of each and their neighbours.
extern "C" __global__ void bilinear_twice_grad(const T* gy, T* gx, long long planes, int height, int width) {
    const int across = width / PACK, wide = 2 * width;
    const T large = T(0.75), small = T(0.25);
    FOR_EACH_PIXEL(p, planes, k, (long long)height * across) {
        const int row = k / across, column = int(k - (long long)row * across) * 2 * PACK;  // of gy
        const int left = column > 0 ? column - 1 : 0, right = column + 2 * PACK < wide ? column + 2 * PACK : wide - 1;
        Pack total;
#pragma unroll
        for (int a = -1; a < 3; a++) {
            const T* line = gy + (p * 2 * height + mirrored(2 * row + a, 2 * height)) * wide;
            const Pack first = *(const Pack*)(line + column), second = *(const Pack*)(line + column + PACK);
            T around[2 * PACK + 2];
            around[0] = line[left];
#pragma unroll
            for (int j = 0; j < PACK; j++) {
                around[j + 1] = first.v[j];
                around[PACK + j + 1] = second.v[j];
            }
            around[2 * PACK + 1] = line[right];
#pragma unroll
            for (int j = 0; j < PACK; j++) {
                const T* four = around + 2 * j;
                const T sum = small * four[0] + large * four[1] + large * four[2] + small * four[3];
                const T weight = a < 0 || a > 1 ? small : large;
                total.v[j] = a < 0 ? weight * sum : total.v[j] + weight * sum;
            }
        }
        *(Pack*)(gx + (p * height + row) * width + column / 2) = total;
    }
}
