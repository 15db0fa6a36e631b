// Binary cross-entropy with logits: the mean over all elements and its gradient, in one pass.
//
//     thread      0 1 2 ...            each reads z and t, writes its gradient, and adds to a sum of its own
//     block    |  partial[0]  |  partial[1]  | ...     float64, in a fixed order: lanes, warps, blocks
//     loss        partial[0] + partial[1] + ...        of one block, written at once; of several, by a second launch
//
// With e = exp(-|z|), which never overflows, and w = 1 - t for z >= 0, else t, all are sums of numbers of one sign:
//
//     loss = |z| * w + log1p(e)       gradient = (w - e / (1 + e)) * sign(z) / count
#include "../device.cuh"

// target may be null: then it is ``same`` everywhere.
extern "C" __global__ void bce(const T* logits, const T* target, T same, T scale, T* gradient, double* partial, T* loss,
                               long long count) {
    __shared__ double scratch[32];
    double sum = 0;
    FOR_EACH(k, count) {
        const T z = logits[k], t = target ? target[k] : same;
        const T size = z < T(0) ? -z : z, w = z >= T(0) ? T(1) - t : t, e = exp(-size);
        sum += double((w == T(0) ? T(0) : size * w) + log1p(e));  // an infinite logit that is right costs nothing
        const T difference = w - e / (T(1) + e);
        gradient[k] = scale * (z >= T(0) ? difference : -difference);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) {
        if (gridDim.x == 1) *loss = T(sum / count);
        else partial[blockIdx.x] = sum;
    }
}

extern "C" __global__ void mean_of(const double* partial, long long parts, T* loss, long long count) {
    __shared__ double scratch[32];
    double sum = 0;
    for (long long k = threadIdx.x; k < parts; k += blockDim.x) sum += partial[k];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) *loss = T(sum / count);
}
