// Features of FRAMES frames of one row, from samples to (logarithms of) filters of powers: the CUDA kernel.
//
// `cuda_text.py` writes what stands before this text: the constants, and Dft<n> for the transforms of n points.
// `cuda_layout.py` says why the work is laid out as it is. Thread t has part t / FRAMES of frame t % FRAMES. Threads
// meet at barriers alone (no shuffles, no atomics), so that the tests can run this very text on a CPU, thread by thread.

struct Job {
  const SAMPLE* samples;
  const long long* lengths;  // of each row; 0: all have `time` samples
  const float* window;
  const float4* turns;  // pairs: of the real spectrum, then those before each pass
  const float4* weights;  // four of each part, the next four of each part: see `cuda_filters.py`
  const int4* spans;  // four of each part: FRAMES times a filter's first bin, and 2^16 times the steps of its loop
  const float* affine;
  float* out;
  long long row_stride;
  unsigned tile_factor;  // a block's row is its number times this, without the last `tile_shift` bits: a division
  int tile_shift, time, n_frames, n_tiles, margin, extra, more, left_out;
  float preemphasis, floor, factor, offset, root_offset;
};

// The window covers the samples from UNDER on: all others count as zeros.
constexpr int END = UNDER + WIN_LENGTH;
// Samples are read half as large, since a spectrum is untangled twice as large, or the filters are.
constexpr float SCALE = FILTERS ? 1.0f : 0.5f;

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

// One of a thread's turns: two are loaded at once, beside those of the next thread.
static __device__ __forceinline__ float2 turn_of(const float4* turns, int i, int apart) {
  const float4 both = __ldg(turns + i / 2 * apart);
  return i % 2 ? make_float2(both.z, both.w) : make_float2(both.x, both.y);
}

static __device__ __forceinline__ float of_power(float power, const Job& job) {
  if (ROOT_OFFSET) power += job.root_offset;
  return ROOT ? sqrtf(power) : power;
}

// The powers of bins k and HALF - k, from half the complex transform there, a and b. Of a sum and a difference of the
// same two, the second is twice the one less the sum.
static __device__ __forceinline__ void untangle(float2 a, float2 b, float2 turn, int k, float* low, float* high, const Job& job) {
  const float2 odd = make_float2(a.y + b.y, b.x - a.x), even = make_float2(a.x + b.x, a.y - b.y);
  const float pr = fmaf(-odd.y, turn.y, fmaf(odd.x, turn.x, even.x)), mr = fmaf(2.0f, even.x, -pr);
  const float pi = fmaf(odd.x, turn.y, fmaf(odd.y, turn.x, even.y)), mi = fmaf(2.0f, even.y, -pi);
  low[k * FRAMES] = of_power(fmaf(pi, pi, pr * pr), job);
  high[(HALF - k) * FRAMES] = of_power(fmaf(mi, mi, mr * mr), job);
}

template <int STEPS>
static __device__ __forceinline__ float shifted(float value, const float* by, int number) {
  #pragma unroll
  for (int i = 0; i < STEPS; ++i, by += 2 * N_VALUES) value = (value + __ldg(by + number)) / __ldg(by + N_VALUES + number);
  return value;
}

// A value after shifts and scales, the logarithm, and shifts and scales of that.
static __device__ __forceinline__ float finished(float value, int number, const Job& job) {
  value = shifted<BEFORE>(value, job.affine, number);
  if (LOG != NO_LOG) {
    if (LOG_OFFSET) value += job.offset;
    value = GREATER(value, job.floor);  // which leaves NaN, and is a normal number
    if (LOG == LOG1P) value = log1pf(value) * job.factor;
    else value = LOG2(value) * (0.693147181f * job.factor);
  }
  return shifted<AFTER>(value, job.affine + 2 * BEFORE * N_VALUES, number);
}

// Reads four samples of each row of the block at once, which lie where four can be loaded, from the first one on.
static __device__ __forceinline__ void stage_fours(const SAMPLE* from, float* staged, int t) {
  constexpr int FOURS = SAMPLES / 4, ACROSS = 4 * THREADS;
  const int line = 4 * t / ROW;
  int column = 4 * t - line * ROW;
  const SAMPLES_OF_FOUR* four = (const SAMPLES_OF_FOUR*)from + t;
  float* to = staged + (4 * t + line * ROW_GAP);
  #pragma unroll
  for (int i = 0; i < (FOURS + THREADS - 1) / THREADS; ++i) {
    if (i * THREADS + THREADS <= FOURS || i * THREADS + t < FOURS) {
      const SAMPLES_OF_FOUR x = four[i * THREADS];
      ((float2*)to)[0] = make_float2(SCALE * (float)x.x, SCALE * (float)x.y);
      ((float2*)to)[1] = make_float2(SCALE * (float)x.z, SCALE * (float)x.w);
      // before each row stands the sample before it, for pre-emphasis
      if (EMPHASIS && ROW_GAP && column == ROW - 4) to[3 + ROW_GAP] = SCALE * (float)x.w;
    }
    to += ACROSS + ACROSS / ROW * ROW_GAP;
    if (ACROSS % ROW && ROW_GAP) {
      column += ACROSS % ROW;
      if (column >= ROW) {
        column -= ROW;
        to += ROW_GAP;
      }
    }
  }
}

// Reads the samples of all frames of the block, each once.
static __device__ __forceinline__ void stage(const Job& job, int row, int first, int seen, float* staged, int t) {
  const SAMPLE* own = job.samples + row * job.row_stride;
  const int begin = first * HOP - job.margin;
  const bool inside = begin >= 0 && begin + (FRAMES - 1) * HOP + N_FFT <= seen;
  if (ROW == HOP && ROW % 4 == 0 && SAMPLES % 4 == 0 && inside && (size_t)(own + begin) % sizeof(SAMPLES_OF_FOUR) == 0) {
    stage_fours(own + begin, staged, t);
    return;
  }
  if (inside) {
    // from one sample of a thread to its next, without a division where whole rows lie between
    const int line = t / ROW;
    int column = t - line * ROW;
    const SAMPLE* from = own + (begin + line * HOP + column);
    float* to = staged + (line * STRIDE + column);
    #pragma unroll 8
    for (int s = t; s < SAMPLES; s += THREADS) {
      const float value = SCALE * (float)*from;
      *to = value;
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
    if (PAD_MODE != ZEROS) value = SCALE * (float)own[folded(p, seen)];
    else if (p >= 0 && p < seen) value = SCALE * (float)own[p];
    staged[line * STRIDE + column] = value;
    if (EMPHASIS && ROW_GAP && column == ROW - 1) staged[(line + 1) * STRIDE - 1] = value;
  }
}

// Whether sample n of a frame lies under the window: known before where all of a thread's samples do.
static __device__ __forceinline__ bool is_under(int n, int first, int last) {
  return (first >= UNDER || n >= UNDER) && (last < END || n < END);
}

// The sum of a frame's samples less a number, of which each of its threads has some.
template <int R, int TIMES>
static __device__ __forceinline__ float sum_less(float less, float* partial, int u, int f, const float* re, const float* im) {
  constexpr int GROUPS = HALF / R;
  float total = 0.0f;
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (GROUPS % PARTS != 0 && b >= GROUPS) break;
    #pragma unroll
    for (int r = 0; r < R; ++r) {
      const int first = 2 * r * GROUPS, last = first + 2 * GROUPS - 1, n = first + 2 * b;
      if (last < UNDER || first >= END) continue;
      if (is_under(n, first, last - 1)) total += re[i * R + r] - less;
      if (is_under(n + 1, first + 1, last)) total += im[i * R + r] - less;
    }
  }
  partial[u * FRAMES + f] = total;
  __syncthreads();
  total = 0.0f;
  #pragma unroll
  for (int i = 0; i < PARTS; ++i) total += partial[i * FRAMES + f];
  return total;
}

// The mean of a frame: less one of its samples, so that rounding leaves nothing of a frame that is constant, then less
// what was found, so that it leaves no more of the others than of samples without a mean.
template <int R, int TIMES>
static __device__ __forceinline__ float mean_of(const float* own, float* partial, int u, int f, const float* re, const float* im) {
  float mean = own[place(UNDER)];
  mean += sum_less<R, TIMES>(mean, partial, u, f, re, im) * (1.0f / WIN_LENGTH);
  return mean + sum_less<R, TIMES>(mean, partial + THREADS, u, f, re, im) * (1.0f / WIN_LENGTH);
}

// Loads the windowed samples of this thread's transforms of the first pass, and transforms them.
template <int R, int TIMES>
static __device__ __forceinline__ void first_pass(const Job& job, const float* own, float* partial, int u, int f, float* re, float* im) {
  constexpr int GROUPS = HALF / R;
  const float2* window = (const float2*)job.window + u;
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (GROUPS % PARTS != 0 && b >= GROUPS) break;
    #pragma unroll
    for (int r = 0; r < R; ++r) {
      const int first = 2 * r * GROUPS, last = first + 2 * GROUPS - 1;
      float2 x = make_float2(0.0f, 0.0f);
      if (last >= UNDER && first < END) {
        const float* at = own + place_of(r * GROUPS, b, GROUPS);
        if (ROW % 2) x = make_float2(at[0], at[1]);
        else x = *(const float2*)at;
      }
      re[i * R + r] = x.x;
      im[i * R + r] = x.y;
    }
  }
  float mean = 0.0f;
  if (DC) mean = mean_of<R, TIMES>(own, partial, u, f, re, im);
  // the mean after pre-emphasis, rounded as the samples are: nothing is left of a constant
  if (EMPHASIS) mean = fmaf(-job.preemphasis, mean, mean);
  #pragma unroll
  for (int i = 0; i < TIMES; ++i) {
    const int b = u + i * PARTS;
    if (GROUPS % PARTS != 0 && b >= GROUPS) break;
    #pragma unroll
    for (int r = 0; r < R; ++r) {
      const int first = 2 * r * GROUPS, last = first + 2 * GROUPS - 1, n = first + 2 * b;
      if (last < UNDER || first >= END) continue;
      float2 x = make_float2(re[i * R + r], im[i * R + r]);
      if (EMPHASIS) {
        const float* at = own + place_of(r * GROUPS, b, GROUPS);
        const float before = first > UNDER || n > UNDER ? at[-1] : x.x;
        const float own_before = first + 1 > UNDER || n + 1 > UNDER ? x.x : x.y;
        x.y = fmaf(-job.preemphasis, own_before, x.y);
        x.x = fmaf(-job.preemphasis, before, x.x);
      }
      if (DC) { x.x -= mean; x.y -= mean; }
      const float2 weight = __ldg(window + (i * PARTS + r * GROUPS));
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
static __device__ __forceinline__ void take(const float4* turns, const float2* values, int b, float* re, float* im) {
  constexpr int APART = slot(HALF / R);
  const float2* from = values + slot(b);
  const int own = HALF / R == DONE ? b : b % DONE;
  turns += own;
  float tr[R], ti[R];
  #pragma unroll
  for (int r = 0; r < R; ++r) {
    const float2 value = from[r * APART];
    re[r] = value.x;
    im[r] = value.y;
    if (r == 0) continue;
    const float2 turn = turn_of(turns, r - 1, DONE);
    tr[r] = turn.x;
    ti[r] = turn.y;
  }
  Dft<R>::turned(re, im, tr, ti);
}

template <int R, int TIMES, int DONE>
static __device__ __forceinline__ void middle_pass(const float4* turns, const float2* values, int u, float* re, float* im) {
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
  constexpr int GROUPS = HALF / R, ROWS = GROUPS / 2 + 1;
  #define AT(i) make_float2(re[i], im[i])
  if (PARTS > 1 && u > 0) {
    float *low = powers + u * FRAMES, *high = powers - u * FRAMES;
    #pragma unroll
    for (int r = 0; r < R; ++r) untangle(AT(r), AT(R + R - 1 - r), turn_of(job.turns + u, r, ROWS), r * GROUPS, low, high, job);
    return;
  }
  const float first = 2.0f * (re[0] + im[0]), last = 2.0f * (re[0] - im[0]);
  powers[0] = of_power(first * first, job);
  powers[HALF * FRAMES] = of_power(last * last, job);
  #pragma unroll
  for (int r = 1; r <= R / 2; ++r) untangle(AT(r), AT(R - r), turn_of(job.turns, r, ROWS), r * GROUPS, powers, powers, job);
  if (GROUPS % 2 == 0) {
    #pragma unroll
    for (int r = 0; r < (R + 1) / 2; ++r)
      untangle(AT(R + r), AT(R + R - 1 - r), turn_of(job.turns + GROUPS / 2, r, ROWS), GROUPS / 2 + r * GROUPS, powers, powers, job);
  }
  #undef AT
}

// One weight of a thread's filters: four are loaded at once, beside those of the next thread.
static __device__ __forceinline__ float weight_of(const float4* weights, int i) {
  const float4 four = __ldg(weights + i / 4 * PARTS);
  return i % 4 == 0 ? four.x : i % 4 == 1 ? four.y : i % 4 == 2 ? four.z : four.w;
}

// The sum of the powers under one filter, whose WIDTH weights begin at the given one.
template <int WIDTH>
static __device__ __forceinline__ float filtered(const float4* weights, int begin, int span, const float* powers) {
  float even = 0.0f, odd = 0.0f;
  if (WIDTH <= MOST_AT_ONCE) {
    const float* power = powers + span;
    #pragma unroll
    for (int i = 0; i < WIDTH; ++i) {
      if (i % 2) odd = fmaf(weight_of(weights, begin + i), power[i * FRAMES], odd);
      else even = fmaf(weight_of(weights, begin + i), power[i * FRAMES], even);
    }
    return even + odd;
  }
  const float4* weight = weights + begin / 4 * PARTS;
  const float* power = powers + (span & 0xffff);
  #pragma unroll 1
  for (int steps = span >> 16; steps > 0; --steps, weight += 2 * PARTS, power += 8 * FRAMES) {
    #pragma unroll
    for (int i = 0; i < 8; ++i) {
      if (i % 2) odd = fmaf(weight_of(weight, i), power[i * FRAMES], odd);
      else even = fmaf(weight_of(weight, i), power[i * FRAMES], even);
    }
  }
  return even + odd;
}

// Writes a value of a frame, 0 past the end of its row.
static __device__ __forceinline__ void write(float* out, float value, int number, bool is_own, const Job& job) {
  value = finished(value, number, job);
  *out = is_own ? value : 0.0f;  // frames of a value lie side by side
}

// One of a thread's filters in each round; the last round may have none for it.
template <int ROUND, int WIDTH, int BEGIN>
static __device__ __forceinline__ void one_round(const Job& job, const float* powers, float* out, int apart, int u, bool is_own) {
  if ((ROUND + 1) * PARTS > N_VALUES && ROUND * PARTS + u >= N_VALUES) return;
  const int4 four = __ldg(job.spans + (u + ROUND / 4 * PARTS));
  const int span = ROUND % 4 == 0 ? four.x : ROUND % 4 == 1 ? four.y : ROUND % 4 == 2 ? four.z : four.w;
  const float value = filtered<WIDTH>(job.weights + u, BEGIN, span, powers);
  write(out + (long long)ROUND * apart, value, ROUND * PARTS + u, is_own, job);
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) features(const Job job) {
  SHARED(memory);
  float* shared = (float*)memory;
  const int t = threadIdx.x, f = (unsigned)t % FRAMES;
  const int u = FRAMES == 32 ? UNIFORM((int)((unsigned)t / FRAMES)) : (int)((unsigned)t / FRAMES);
  const int row = (int)((unsigned long long)blockIdx.x * job.tile_factor >> job.tile_shift);
  const int first = (blockIdx.x - row * job.n_tiles) * FRAMES, frame = first + f;
  const int length = job.lengths ? (int)job.lengths[row] : job.time;
  const int seen = length - job.left_out > 1 ? length - job.left_out : 1;
  int count = (seen + job.extra) / HOP + job.more;
  count = length < 1 ? 0 : count < 1 ? 1 : count;
  float* out = job.out + (long long)row * (N_VALUES * job.n_frames) + (frame + u * job.n_frames);
  const int apart = PARTS * job.n_frames;
  if (first >= count) {  // for all threads of a block
    if (frame < job.n_frames)
      for (int m = u; m < N_VALUES; m += PARTS, out += apart) *out = 0.0f;
    return;
  }
  stage(job, row, first, seen, shared, t);
  __syncthreads();
  const float* own = shared + f * STRIDE;
  float* partial = shared + SHARED_FLOATS;  // where there is a mean
  float re[VALUES], im[VALUES];
  float2* values = (float2*)shared + f;
  PASSES
  float* powers = shared + f;
  __syncthreads();
  write_powers<LAST_RADIX>(job, u, re, im, powers);
  // the last step of filters of all bins takes zeros past them
  if (PAST > 0)
    for (int k = u; k < PAST; k += PARTS) powers[(HALF + 1 + k) * FRAMES] = 0.0f;
  __syncthreads();
  if (frame >= job.n_frames) return;
  const bool is_own = frame < count;
  if (FILTERS) {
    FILTER_ROUNDS
    return;
  }
  #pragma unroll 1
  for (int m = u; m < N_VALUES; m += PARTS, out += apart) write(out, powers[m * FRAMES], m, is_own, job);
}
