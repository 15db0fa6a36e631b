// Sums of rows by number, gathered: the rows of each segment are listed one after the other, in their order in x.
//
//     ids     2 0 2 1 2          order   1 | 3 | 0 2 4         start   0 1 2 5
//     result  row 0 = x[1]       row 1 = x[3]       row 2 = (x[0] + x[2]) + x[4]
//
// A thread makes one number of the result. Adding rows with atomics would need no list, and give other bits each time.
#include "../device.cuh"

extern "C" __global__ void segment_sum(const T* x, const long long* order, const long long* start, T* result,
                                       long long segments, long long columns) {
    FOR_EACH(k, segments * columns) {
        const long long segment = k / columns, column = k % columns;
        T sum = T(0);
        for (long long i = start[segment]; i < start[segment + 1]; i++) sum += x[order[i] * columns + column];
        result[k] = sum;
    }
}
