// A constant-Q transform by octaves on a GPU: `decimate` makes a level's samples of those of the level before it, and
// `products` all bins of all levels of these.
//
// `text.py` writes what stands before this text, the constants, and what stands after it, the kernels of each factor.
// `layout.py` lays out the tables. Threads meet at barriers alone (no shuffles, no atomics), so that the tests can run
// this very text on a CPU, thread by thread.

struct Level {
  long long offset, stride;  // of a row's first sample in the scratch memory, and from one row to the next
  int start, step;  // sample i is filled by clips of more than start + i * step samples; sample 0 by any
  int taps, blocks;  // where the filter that makes it begins among the taps, and blocks of a row that make it
};

struct Item {  // columns of a band
  long long kernels;  // where their kernels begin
  int level, hop, before, chunks, first, n_bins;
};

struct Job {
  const float* samples;
  const long long* lengths;  // of each row; 0: all have `time` samples
  const float* kernels;  // of each item, each warp and each chunk: COLUMNS * CHUNK
  const float* taps;
  float* scratch;  // samples of all levels but the first, which is the clip
  float* out;
  long long row_stride;
  int time, n_rows, n_frames, n_tiles, n_bins, factor, hop, unused;  // factor and hop: of the first level with bins
  Level levels[MOST_LEVELS];
  Item items[MOST_ITEMS];
};

constexpr int LANES = 32, WARPS = THREADS / LANES;

static __device__ __forceinline__ int length_of(const Job& job, int row) {
  if (!job.lengths) return job.time;
  const long long own = job.lengths[row];
  return own < job.time ? (int)own : job.time;
}

// How many samples of a level are not known to be zeros, of a clip.
static __device__ __forceinline__ int seen_of(const Level& level, int length) {
  if (length < 1) return 0;
  const int more = length - level.start;
  return more > level.step ? (more + level.step - 1) / level.step : 1;
}

static __device__ __forceinline__ const float* samples_of(const Job& job, int number, int row) {
  if (number == 0) return job.samples + row * job.row_stride;
  return job.scratch + (job.levels[number].offset + row * job.levels[number].stride);
}

// Four taps of a thread's filter. Its samples move on by 4 a step, in a ring of registers.
template <int OUTPUTS>
static __device__ __forceinline__ void four_taps(float* ring, int step, const float* own, const float* taps, float* sums) {
  constexpr int RING = OUTPUTS + 4;
  const float4 next = *(const float4*)(own + 4 * step + OUTPUTS), four = *(const float4*)(taps + 4 * step);
  const int place = (4 * step + OUTPUTS) % RING;
  ring[place] = next.x, ring[place + 1] = next.y, ring[place + 2] = next.z, ring[place + 3] = next.w;
  #pragma unroll
  for (int i = 0; i < OUTPUTS; ++i) sums[i] = fmaf(four.x, ring[(4 * step + i) % RING], sums[i]);
  #pragma unroll
  for (int i = 0; i < OUTPUTS; ++i) sums[i] = fmaf(four.y, ring[(4 * step + 1 + i) % RING], sums[i]);
  #pragma unroll
  for (int i = 0; i < OUTPUTS; ++i) sums[i] = fmaf(four.z, ring[(4 * step + 2 + i) % RING], sums[i]);
  #pragma unroll
  for (int i = 0; i < OUTPUTS; ++i) sums[i] = fmaf(four.w, ring[(4 * step + 3 + i) % RING], sums[i]);
}

// Computes sum_m taps[m] own[i + m] for a thread's outputs i.
template <int GROUPS, int OUTPUTS>
static __device__ __forceinline__ void filter(const float* own, const float* taps, float* sums) {
  constexpr int RING = OUTPUTS + 4, ROUND = RING / 4;
  float ring[RING];
  #pragma unroll
  for (int i = 0; i < OUTPUTS; i += 4) {
    const float4 first = *(const float4*)(own + i);
    ring[i] = first.x, ring[i + 1] = first.y, ring[i + 2] = first.z, ring[i + 3] = first.w;
    sums[i] = sums[i + 1] = sums[i + 2] = sums[i + 3] = 0.0f;
  }
  #pragma unroll 1
  for (int round = 0; round < GROUPS / ROUND; ++round, own += RING, taps += RING) {
    #pragma unroll
    for (int step = 0; step < ROUND; ++step) four_taps<OUTPUTS>(ring, step, own, taps, sums);
  }
  #pragma unroll
  for (int step = 0; step < GROUPS % ROUND; ++step) four_taps<OUTPUTS>(ring, step, own, taps, sums);
}

// Of each phase (every FACTOR-th sample, x) a block has three rows of SIZE values: x[2k] - x[2k + 1], x[2k + 2] -
// x[2k + 1], and x[2k + 1]. Phases lie so far apart that lanes which write side by side meet no bank of shared memory
// twice.
template <int FACTOR, int GROUPS, int PAIRS>
struct Window {
  static constexpr int TOGETHER = FACTOR < 4 ? FACTOR : 4, SIZE = DECIMATING * PAIRS + 4 * GROUPS;
  static constexpr int APART = SIZE + (32 / TOGETHER + 32 - SIZE % 32) % 32, TAPS = 3 * 4 * GROUPS;
  static constexpr int ACROSS = DECIMATING / TOGETHER, TIMES = (SIZE + ACROSS - 1) / ACROSS;
  static constexpr int REACHED = 2 * TIMES * ACROSS + 1;  // samples of a phase
};

// Brings what a block sees of some phases, from sample `begin` on, to shared memory: INSIDE, where all are a row's.
template <int FACTOR, class W, bool INSIDE>
static __device__ __forceinline__ void stage_pairs(const float* from, int begin, int seen, float* shared, int t) {
  // lanes side by side take neighboring samples of the phases
  const int other = t % W::TOGETHER, k = t / W::TOGETHER;
  int at = begin + 2 * FACTOR * k + other;
  float* to = shared + (other * 3 * W::APART + k);
  #pragma unroll 4
  for (int i = 0; i < W::TIMES; ++i, at += 2 * FACTOR * W::ACROSS) {
    float x[3];
    #pragma unroll
    for (int n = 0; n < 3; ++n) x[n] = INSIDE || (unsigned)(at + n * FACTOR) < (unsigned)seen ? __ldg(from + at + n * FACTOR) : 0.0f;
    if (W::SIZE % W::ACROSS == 0 || i * W::ACROSS + k < W::SIZE) {
      to[i * W::ACROSS] = x[0] - x[1];
      to[i * W::ACROSS + W::APART] = x[2] - x[1];
      to[i * W::ACROSS + 2 * W::APART] = x[1];
    }
  }
}

// Makes samples of a level: DECIMATING * PAIRS pairs of a row, of what begins LEAD * FACTOR samples before the first.
//
// With h, taps of a phase, even[j] = h[2j] and odd[j] = h[2j + 1], a pair of outputs is
//
//     y[2k]     = sum_j even[j] (x[2k + 2j] - x[2k + 2j + 1])    + both,
//     y[2k + 1] = sum_j odd[j] (x[2k + 2j + 2] - x[2k + 2j + 1]) + both,  both = sum_j (even[j] + odd[j]) x[2k + 2j + 1]:
//
// three sums of half the taps in place of four. PAIRS is 4 times an odd number, so that lanes which load four values
// each meet no bank twice.
template <int FACTOR, int GROUPS, int LEAD, int PAIRS>
static __device__ __forceinline__ void decimate(const Job& job, int number, float* shared) {
  typedef Window<FACTOR, GROUPS, PAIRS> W;
  const Level& level = job.levels[number];
  const int t = threadIdx.x, row = blockIdx.x / level.blocks;
  const int first = (blockIdx.x - row * level.blocks) * (2 * DECIMATING * PAIRS), length = length_of(job, row);
  if (first >= seen_of(level, length)) return;  // for all threads of a block
  const int seen = seen_of(job.levels[number - 1], length);
  const float* from = samples_of(job, number - 1, row);
  float* taps = shared + W::TOGETHER * 3 * W::APART;
  float even[PAIRS], odd[PAIRS];
  #pragma unroll
  for (int i = 0; i < PAIRS; ++i) even[i] = odd[i] = 0.0f;
  #pragma unroll 1
  for (int phase = 0; phase < FACTOR; phase += W::TOGETHER) {
    if (phase > 0) __syncthreads();
    const int begin = FACTOR * (first - LEAD) + phase;
    if (begin >= 0 && begin + FACTOR * W::REACHED <= seen) stage_pairs<FACTOR, W, true>(from, begin, seen, shared, t);
    else stage_pairs<FACTOR, W, false>(from, begin, seen, shared, t);
    const float* given = job.taps + level.taps + phase * W::TAPS;
    for (int s = t; s < W::TOGETHER * W::TAPS; s += DECIMATING) taps[s] = __ldg(given + s);
    __syncthreads();
    #pragma unroll 1
    for (int i = 0; i < W::TOGETHER; ++i) {
      const float* own = shared + i * 3 * W::APART + t * PAIRS;
      float sums[PAIRS];  // the largest taps are in the middle of each phase: apart, they are rounded less
      filter<GROUPS, PAIRS>(own, taps + i * W::TAPS, sums);
      #pragma unroll
      for (int j = 0; j < PAIRS; ++j) even[j] += sums[j];
      filter<GROUPS, PAIRS>(own + W::APART, taps + (i * W::TAPS + 4 * GROUPS), sums);
      #pragma unroll
      for (int j = 0; j < PAIRS; ++j) odd[j] += sums[j];
      filter<GROUPS, PAIRS>(own + 2 * W::APART, taps + (i * W::TAPS + 8 * GROUPS), sums);
      #pragma unroll
      for (int j = 0; j < PAIRS; ++j) even[j] += sums[j], odd[j] += sums[j];
    }
  }
  float* to = job.scratch + (level.offset + row * level.stride);
  #pragma unroll
  for (int i = 0; i < PAIRS; i += 2) {
    const int at = first + 2 * (t * PAIRS + i);
    float4 four;
    four.x = even[i], four.y = odd[i], four.z = even[i + 1], four.w = odd[i + 1];
    if (at < level.stride) *(float4*)(to + at) = four;  // nobody reads what lies past a clip's own
  }
}

// Rows of a chunk lie so far apart in shared memory that lanes which load four taps of each meet no bank twice.
constexpr int APART = CHUNK + 4, FOURS = CHUNK / 4, OWN_FRAMES = FRAMES / 8, OWN_COLUMNS = COLUMNS / 4;
constexpr int SUMS_APART = FRAMES + 4;

// How a block may read the samples of its frames: four at once, all of them a row's; four at once, those that are not
// known to be zeros; or one by one.
enum { ALL_FOURS, FOURS_SEEN, ONES };

// Brings a warp's chunk of the block's frames to shared memory: no branch stands between loads, which wait together.
template <int HOW>
static __device__ __forceinline__ void stage_frames(const float* from, int begin, int hop, int seen, float* to, int lane) {
  constexpr int ACROSS = LANES / FOURS;
  const int four = lane % FOURS, of_lane = lane / FOURS;
  int at = begin + of_lane * hop + 4 * four;
  to += of_lane * APART + 4 * four;
  #pragma unroll
  for (int i = 0; i < FRAMES / ACROSS; ++i, at += ACROSS * hop) {
    float4 x;
    x.x = x.y = x.z = x.w = 0.0f;
    if (HOW == ONES) {
      if ((unsigned)at < (unsigned)seen) x.x = __ldg(from + at);
      if ((unsigned)(at + 1) < (unsigned)seen) x.y = __ldg(from + at + 1);
      if ((unsigned)(at + 2) < (unsigned)seen) x.z = __ldg(from + at + 2);
      if ((unsigned)(at + 3) < (unsigned)seen) x.w = __ldg(from + at + 3);
    } else if (HOW == ALL_FOURS || (unsigned)at < (unsigned)seen) {
      x = __ldg((const float4*)(from + at));
    }
    if (HOW == FOURS_SEEN) {  // what stands past the end may be anything
      x.y = at + 1 < seen ? x.y : 0.0f;
      x.z = at + 2 < seen ? x.z : 0.0f;
      x.w = at + 3 < seen ? x.w : 0.0f;
    }
    *(float4*)(to + i * ACROSS * APART) = x;
  }
}

// Adds the products of a warp's chunk: a thread has every eighth frame, and neighboring columns.
static __device__ __forceinline__ void multiply(const float* frames, const float* kernels, float (*sums)[OWN_COLUMNS]) {
  #pragma unroll 1
  for (int four = 0; four < FOURS; ++four, frames += 4, kernels += 4) {
    float4 k[OWN_COLUMNS];
    #pragma unroll
    for (int c = 0; c < OWN_COLUMNS; ++c) k[c] = *(const float4*)(kernels + c * APART);
    #pragma unroll
    for (int i = 0; i < OWN_FRAMES; ++i) {
      const float4 x = *(const float4*)(frames + 8 * i * APART);
      #pragma unroll
      for (int c = 0; c < OWN_COLUMNS; ++c) sums[i][c] = fmaf(x.x, k[c].x, sums[i][c]);
      #pragma unroll
      for (int c = 0; c < OWN_COLUMNS; ++c) sums[i][c] = fmaf(x.y, k[c].y, sums[i][c]);
      #pragma unroll
      for (int c = 0; c < OWN_COLUMNS; ++c) sums[i][c] = fmaf(x.z, k[c].z, sums[i][c]);
      #pragma unroll
      for (int c = 0; c < OWN_COLUMNS; ++c) sums[i][c] = fmaf(x.w, k[c].w, sums[i][c]);
    }
  }
}

static __device__ __forceinline__ void write(const Job& job, long long at, float re, float im) {
  if (VALUE == COMPLEX) {
    float2 both;
    both.x = re, both.y = im;
    ((float2*)job.out)[at] = both;
  } else {
    job.out[at] = VALUE == MAGNITUDE ? hypotf(re, im) : fmaf(re, re, im * im);
  }
}

// FRAMES frames of a row times COLUMNS columns of a band: each warp has some of the taps, whose sums are added at last.
static __device__ __forceinline__ void multiply_frames(const Job& job, float* shared) {
  const int t = threadIdx.x, lane = t % LANES, warp = t / LANES;
  const int of_all = blockIdx.x / job.n_tiles, number = of_all / job.n_rows;
  const int first = (blockIdx.x - of_all * job.n_tiles) * FRAMES, row = of_all - number * job.n_rows;
  const Item& item = job.items[number];
  const int length = length_of(job, row);
  const int count = length < 1 ? 0 : (length + job.factor - 1) / job.factor / job.hop + 1;
  const int frame = first + t % FRAMES;
  const long long place = ((long long)row * job.n_bins + item.first) * job.n_frames + frame;
  if (first >= count) {  // for all threads of a block
    if (frame < job.n_frames)
      for (int bin = t / FRAMES; bin < item.n_bins; bin += THREADS / FRAMES) write(job, place + (long long)bin * job.n_frames, 0.0f, 0.0f);
    return;
  }
  const int seen = seen_of(job.levels[item.level], length);
  const float* from = samples_of(job, item.level, row);
  const int whole = first * item.hop - item.before, end = whole + (FRAMES - 1) * item.hop + WARPS * item.chunks * CHUNK;
  const bool inside = whole >= 0 && end <= seen;
  // a four in which a row of a level ends is in the level's memory, but perhaps not in the clip's
  const bool fours = item.hop % 4 == 0 && item.before % 4 == 0 && (size_t)from % 16 == 0 && (inside || item.level > 0 || job.time % 4 == 0);
  const int how = !fours ? ONES : inside ? ALL_FOURS : FOURS_SEEN;
  float* frames = shared + warp * (FRAMES * APART);
  float* kernels = shared + WARPS * FRAMES * APART + warp * (COLUMNS * APART);
  const float4* given = (const float4*)(job.kernels + item.kernels) + warp * item.chunks * (COLUMNS * FOURS);
  int begin = whole + warp * item.chunks * CHUNK;
  float sums[OWN_FRAMES][OWN_COLUMNS];
  #pragma unroll
  for (int i = 0; i < OWN_FRAMES; ++i) {
    #pragma unroll
    for (int c = 0; c < OWN_COLUMNS; ++c) sums[i][c] = 0.0f;
  }
  #pragma unroll 1
  for (int chunk = 0; chunk < item.chunks; ++chunk, begin += CHUNK, given += COLUMNS * FOURS) {
    if (chunk > 0) __syncthreads();
    if (how == ALL_FOURS) stage_frames<ALL_FOURS>(from, begin, item.hop, seen, frames, lane);
    else if (how == FOURS_SEEN) stage_frames<FOURS_SEEN>(from, begin, item.hop, seen, frames, lane);
    else stage_frames<ONES>(from, begin, item.hop, seen, frames, lane);
    #pragma unroll
    for (int s = lane; s < COLUMNS * FOURS; s += LANES) *(float4*)(kernels + s / FOURS * APART + s % FOURS * 4) = __ldg(given + s);
    __syncthreads();
    multiply(frames + lane % 8 * APART, kernels + lane / 8 * (OWN_COLUMNS * APART), sums);
  }
  __syncthreads();
  float* own = shared + warp * (COLUMNS * SUMS_APART) + lane / 8 * (OWN_COLUMNS * SUMS_APART) + lane % 8;
  #pragma unroll
  for (int i = 0; i < OWN_FRAMES; ++i) {
    #pragma unroll
    for (int c = 0; c < OWN_COLUMNS; ++c) own[c * SUMS_APART + 8 * i] = sums[i][c];
  }
  __syncthreads();
  if (frame >= job.n_frames) return;
  #pragma unroll 1
  for (int bin = t / FRAMES; bin < item.n_bins; bin += THREADS / FRAMES) {
    const float* of_bin = shared + 2 * bin * SUMS_APART + t % FRAMES;
    float re = 0.0f, im = 0.0f;
    #pragma unroll
    for (int w = 0; w < WARPS; ++w) {
      re += of_bin[w * (COLUMNS * SUMS_APART)];
      im += of_bin[w * (COLUMNS * SUMS_APART) + SUMS_APART];
    }
    const bool is_own = frame < count;
    write(job, place + (long long)bin * job.n_frames, is_own ? re : 0.0f, is_own ? im : 0.0f);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, PRODUCT_BLOCKS) products(const Job job, const int) {
  SHARED(memory);
  multiply_frames(job, (float*)memory);
}

#define DECIMATION(name, factor, groups, lead, pairs)                                               \
  extern "C" __global__ void __launch_bounds__(DECIMATING) name(const Job job, const int number) {  \
    SHARED(memory);                                                                                 \
    decimate<factor, groups, lead, pairs>(job, number, (float*)memory);                             \
  }
