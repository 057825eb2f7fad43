// Features of FRAMES frames of one row, from samples to (logarithms of) filters of powers: the CUDA kernel.
//
// `cuda_text.py` writes what stands before this text: the constants, and Dft<n> for the transforms of n points.
// `cuda_layout.py` says why the work is laid out as it is. Thread t has part t / FRAMES of frame t % FRAMES. Threads
// meet at barriers alone (no shuffles, no atomics), so that the tests can run this very text on a CPU, thread by thread.

struct Job {
  const SAMPLE* samples;
  const long long* lengths;  // of each row; 0: all have `time` samples
  const float* window;
  const float2* turns;
  const float* weights;  // of all filters, one after another
  const int4* spans;  // of each filter: first bin, end bin, where bin 0 would lie among the weights
  const float* affine;
  float* out;
  long long row_stride;
  int time, n_frames, n_tiles, n_values, margin, extra, more, left_out, under, win_length, before, after;
  float preemphasis, floor, factor, offset, root_offset;
};

// The sample that stands at a place past the ends of a row: see `frames.mirrored`.
static __device__ __forceinline__ int folded(int p, int seen) {
  if (PAD_MODE == REPLICATE) return p < 0 ? 0 : (p >= seen ? seen - 1 : p);
  const int period = PAD_MODE == REFLECT ? (seen > 1 ? 2 * (seen - 1) : 1) : PAD_MODE == SYMMETRIC ? 2 * seen : seen;
  p = (p % period + period) % period;
  if (PAD_MODE == CIRCULAR || p < seen) return p;
  return period - p - (PAD_MODE == SYMMETRIC ? 1 : 0);
}

// Where sample n of a frame lies, from where its first one does.
static __device__ __forceinline__ int place(int n) { return ROW_GAP ? n + n / ROW * ROW_GAP : n; }

// The same for sample 2 (b + first) of a frame, b < groups, where most rows of samples begin at a known b.
static __device__ __forceinline__ int place_of(int first, int b, int groups) {
  const int n = 2 * (first + b), low = 2 * first / ROW, high = 2 * (first + groups - 1) / ROW;
  if (!ROW_GAP) return n;
  if (low == high) return n + low * ROW_GAP;
  if (low + 1 == high) return n + (b >= high * (ROW / 2) - first ? high : low) * ROW_GAP;
  return place(n);
}

// Where a value of a frame lies between two passes, and how far so many values lie apart that GAP divides.
static __device__ __forceinline__ constexpr int slot(int e) { return (GAP ? e + e / (GAP ? GAP : 1) : e) * FRAMES; }

static __device__ __forceinline__ float2 turned(float2 value, float2 by) {
  return make_float2(fmaf(-value.y, by.y, value.x * by.x), fmaf(value.x, by.y, value.y * by.x));
}

static __device__ __forceinline__ float of_power(float power, const Job& job) {
  if (ROOT_OFFSET) power += job.root_offset;
  return ROOT ? sqrtf(power) : power;
}

// The powers of bins k and HALF - k, from half the complex transform there, a and b.
static __device__ __forceinline__ void untangle(float2 a, float2 b, int k, float* powers, const Job& job) {
  const float2 odd = turned(make_float2(a.y + b.y, b.x - a.x), __ldg(job.turns + k));
  const float2 even = make_float2(a.x + b.x, a.y - b.y);
  const float pr = even.x + odd.x, pi = even.y + odd.y, mr = even.x - odd.x, mi = even.y - odd.y;
  powers[k * FRAMES] = of_power(fmaf(pi, pi, pr * pr), job);
  powers[(HALF - k) * FRAMES] = of_power(fmaf(mi, mi, mr * mr), job);
}

static __device__ __forceinline__ float shifted(float value, const float* by, int number, int n_values, int steps) {
  #pragma unroll 1
  for (int i = 0; i < steps; ++i, by += 2 * n_values) value = (value + __ldg(by + number)) / __ldg(by + n_values + number);
  return value;
}

// A value after shifts and scales, the logarithm, and shifts and scales of that.
static __device__ __forceinline__ float finished(float value, int number, const Job& job) {
  value = shifted(value, job.affine, number, job.n_values, job.before);
  if (LOG != NO_LOG) {
    value += job.offset;
    value = value < job.floor ? job.floor : value;  // which leaves NaN
    value = LOG == LOG1P ? log1pf(value) * job.factor : LOG2(value) * (0.693147181f * job.factor);
  }
  return shifted(value, job.affine + 2 * job.before * job.n_values, number, job.n_values, job.after);
}

// Reads the samples of all frames of the block, each once, half as large: a spectrum is untangled twice as large.
static __device__ __forceinline__ void stage(const Job& job, int row, int first, int seen, float* staged, int t) {
  const SAMPLE* own = job.samples + row * job.row_stride;
  const int begin = first * HOP - job.margin;
  if (begin >= 0 && begin + (FRAMES - 1) * HOP + N_FFT <= seen) {
    // from one sample of a thread to its next, without a division where whole rows lie between
    const int line = t / ROW;
    int column = t - line * ROW;
    const SAMPLE* from = own + (begin + line * HOP + column);
    float* to = staged + (line * STRIDE + column);
    #pragma unroll 8
    for (int s = t; s < SAMPLES; s += THREADS) {
      const float value = 0.5f * (float)*from;
      *to = value;
      // before each row stands the sample before it, for pre-emphasis
      if (EMPHASIS && ROW_GAP && column == ROW - 1) to[ROW_GAP] = value;
      from += THREADS / ROW * HOP + THREADS % ROW;
      to += THREADS / ROW * STRIDE + THREADS % ROW;
      if (THREADS % ROW && (ROW_GAP || HOP != ROW)) {
        column += THREADS % ROW;
        if (column >= ROW) {
          column -= ROW;
          from += HOP - ROW;
          to += ROW_GAP;
        }
      }
    }
    return;
  }
  #pragma unroll 1
  for (int s = t; s < SAMPLES; s += THREADS) {
    const int line = s / ROW, column = s - line * ROW, p = begin + line * HOP + column;
    float value = 0.0f;
    if (PAD_MODE != ZEROS) value = 0.5f * (float)own[folded(p, seen)];
    else if (p >= 0 && p < seen) value = 0.5f * (float)own[p];
    staged[line * STRIDE + column] = value;
    if (EMPHASIS && ROW_GAP && column == ROW - 1) staged[(line + 1) * STRIDE - 1] = value;
  }
}

// Loads the windowed samples of this thread's transforms of the first pass, and transforms them.
template <int R, int TIMES>
static __device__ __forceinline__ void first_pass(const Job& job, const float* own, float mean, int u, float* re, float* im) {
  constexpr int GROUPS = HALF / R;
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (GROUPS % PARTS != 0 && b >= GROUPS) break;
    #pragma unroll
    for (int r = 0; r < R; ++r) {
      const int n = 2 * (r * GROUPS + b);
      const float* at = own + place_of(r * GROUPS, b, GROUPS);
      float2 x;
      if (ROW % 2) x = make_float2(at[0], at[1]);
      else x = *(const float2*)at;
      if (DC) { x.x -= mean; x.y -= mean; }
      if (EMPHASIS) {
        const float last = n > job.under ? at[-1] - (DC ? mean : 0.0f) : x.x;
        const float before = n + 1 > job.under ? x.x : x.y;
        x.x = fmaf(-job.preemphasis, last, x.x);
        x.y = fmaf(-job.preemphasis, before, x.y);
      }
      const float2 weight = __ldg((const float2*)job.window + (r * GROUPS + b));
      re[i * R + r] = x.x * weight.x;
      im[i * R + r] = x.y * weight.y;
    }
    Dft<R>::run(re + i * R, im + i * R);
  }
}

// Gives the results of a pass away: DONE is the product of the radices before it.
template <int R, int TIMES, int DONE>
static __device__ __forceinline__ void give(float2* values, int u, const float* re, const float* im) {
  constexpr int GROUPS = HALF / R, APART = DONE == 1 ? FRAMES : slot(DONE);
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (GROUPS % PARTS != 0 && b >= GROUPS) break;
    float2* to = values + slot(b / DONE * (DONE * R) + b % DONE);
    #pragma unroll
    for (int r = 0; r < R; ++r) to[r * APART] = make_float2(re[i * R + r], im[i * R + r]);
  }
}

// Takes the values of one transform after the first pass, b of HALF / R, and transforms them.
template <int R, int DONE>
static __device__ __forceinline__ void take(const float2* turns, const float2* values, int b, float* re, float* im) {
  constexpr int APART = slot(HALF / R);
  const float2* from = values + slot(b);
  turns += b % DONE;
  #pragma unroll
  for (int r = 0; r < R; ++r) {
    float2 value = from[r * APART];
    if (r > 0) value = turned(value, __ldg(turns + (r - 1) * DONE));
    re[r] = value.x;
    im[r] = value.y;
  }
  Dft<R>::run(re, im);
}

template <int R, int TIMES, int DONE>
static __device__ __forceinline__ void middle_pass(const float2* turns, const float2* values, int u, float* re, float* im) {
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (HALF / R % PARTS != 0 && b >= HALF / R) break;
    take<R, DONE>(turns, values, b, re + i * R, im + i * R);
  }
}

// Writes the powers of all bins of a thread's two transforms of the last pass.
template <int R>
static __device__ __forceinline__ void write_powers(const Job& job, int u, const float* re, const float* im, float* powers) {
  constexpr int GROUPS = HALF / R;
  #define AT(i) make_float2(re[i], im[i])
  if (PARTS > 1 && u > 0) {
    #pragma unroll
    for (int r = 0; r < R; ++r) untangle(AT(r), AT(R + R - 1 - r), u + r * GROUPS, powers, job);
    return;
  }
  const float first = 2.0f * (re[0] + im[0]), last = 2.0f * (re[0] - im[0]);
  powers[0] = of_power(first * first, job);
  powers[HALF * FRAMES] = of_power(last * last, job);
  #pragma unroll
  for (int r = 1; r <= R / 2; ++r) untangle(AT(r), AT(R - r), r * GROUPS, powers, job);
  if (GROUPS % 2 == 0) {
    #pragma unroll
    for (int r = 0; r < (R + 1) / 2; ++r) untangle(AT(R + r), AT(R + R - 1 - r), GROUPS / 2 + r * GROUPS, powers, job);
  }
  #undef AT
}

// The sum of the powers under one filter.
static __device__ __forceinline__ float filtered(const Job& job, int4 span, const float* powers) {
  const float *weight = job.weights + (span.z + span.x), *power = powers + span.x * FRAMES;
  float even = 0.0f, odd = 0.0f;
  int left = span.y - span.x;
  #pragma unroll 1
  for (; left >= 4; left -= 4, weight += 4, power += 4 * FRAMES) {
    even = fmaf(__ldg(weight), power[0], even);
    odd = fmaf(__ldg(weight + 1), power[FRAMES], odd);
    even = fmaf(__ldg(weight + 2), power[2 * FRAMES], even);
    odd = fmaf(__ldg(weight + 3), power[3 * FRAMES], odd);
  }
  #pragma unroll
  for (int i = 0; i < 3; ++i)
    if (left > i) even = fmaf(__ldg(weight + i), power[i * FRAMES], even);
  return even + odd;
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) features(const Job job) {
  SHARED(memory);
  float* shared = (float*)memory;
  const int t = threadIdx.x, f = t % FRAMES;
  const int u = FRAMES == 32 ? UNIFORM(t / FRAMES) : t / FRAMES;
  const int row = blockIdx.x / job.n_tiles, first = (blockIdx.x % job.n_tiles) * FRAMES, frame = first + f;
  const int length = job.lengths ? (int)job.lengths[row] : job.time;
  const int seen = length - job.left_out > 1 ? length - job.left_out : 1;
  int count = (seen + job.extra) / HOP + job.more;
  count = length < 1 ? 0 : count < 1 ? 1 : count;
  float* out = job.out + (long long)row * job.n_values * job.n_frames + frame;
  if (first >= count) {  // for all threads of a block
    if (frame < job.n_frames)
      for (int m = u; m < job.n_values; m += PARTS) out[(long long)m * job.n_frames] = 0.0f;
    return;
  }
  stage(job, row, first, seen, shared, t);
  __syncthreads();
  const float* own = shared + f * STRIDE;
  float mean = 0.0f;
  if (DC) {
    float* partial = shared + SHARED_FLOATS;
    // less one sample of the frame, so that rounding leaves nothing of a frame that is constant
    const float one = own[place(job.under)];
    float total = 0.0f;
    for (int n = job.under + u; n < job.under + job.win_length; n += PARTS) total += own[place(n)] - one;
    partial[t] = total;
    __syncthreads();
    for (int i = 0; i < PARTS; ++i) mean += partial[i * FRAMES + f];
    mean = one + mean / (float)job.win_length;
  }
  float re[VALUES], im[VALUES];
  float2* values = (float2*)shared + f;
  PASSES
  float* powers = shared + f;
  __syncthreads();
  write_powers<LAST_RADIX>(job, u, re, im, powers);
  __syncthreads();
  if (frame >= job.n_frames) return;
  const bool is_own = frame < count;
  const long long apart = (long long)PARTS * job.n_frames;
  out += (long long)u * job.n_frames;
  int4 span;
  if (FILTERS && u < job.n_values) span = __ldg(job.spans + u);
  #pragma unroll 1
  for (int m = u; m < job.n_values; m += PARTS, out += apart) {
    float value;
    if (FILTERS) {
      const int4 own_span = span;
      if (m + PARTS < job.n_values) span = __ldg(job.spans + m + PARTS);  // in time for the next
      value = filtered(job, own_span, powers);
    } else {
      value = powers[m * FRAMES];
    }
    value = finished(value, m, job);
    *out = is_own ? value : 0.0f;  // frames of a value lie side by side
  }
}
