// A linear map along one axis by a table of weights: one thread, one output.
#include "../device.cuh"

// x: (outer, inputs, inner), y: (outer, outputs, inner); output o is the sum of the entries starts[o] to starts[o + 1]
extern "C" __global__ void resample(const T* x, T* y, const long long* starts, const long long* index,
                                    const T* weight, long long outer, long long inputs, long long outputs,
                                    long long inner) {
    FOR_EACH(i, outer * outputs * inner) {
        const long long j = i % inner, o = i / inner % outputs, p = i / inner / outputs;
        T total = 0;
        for (long long e = starts[o]; e < starts[o + 1]; e++) total += weight[e] * x[(p * inputs + index[e]) * inner + j];
        y[i] = total;
    }
}
