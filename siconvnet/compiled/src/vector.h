// Vectors of the width that the instruction set has, and loops over blocks of them.
//
// The same source is compiled once for each instruction set; only LANES and IMAGES differ.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr int IMAGES = 4;  // multiplied with a kernel at once: 4 accumulators each
constexpr int WIDE = 8, MIDDLE = 5, NARROW = 4;  // rows of a block with 2, 4, 5 accumulators each
#elif defined(__AVX2__) && defined(__FMA__)
constexpr int LANES = 8;
constexpr int IMAGES = 2;
constexpr int WIDE = 5, MIDDLE = 2, NARROW = 2;
#elif defined(__aarch64__)
constexpr int LANES = 4;
constexpr int IMAGES = 4;
constexpr int WIDE = 8, MIDDLE = 5, NARROW = 4;
#else
constexpr int LANES = 4;
constexpr int IMAGES = 2;
constexpr int WIDE = 5, MIDDLE = 2, NARROW = 2;
#endif

constexpr int CHANNEL_BLOCK = 16;  // numbers of channels are filled up to multiples of this
static_assert(CHANNEL_BLOCK % LANES == 0);

using Vector = float __attribute__((vector_size(4 * LANES)));
using Mask = std::int32_t __attribute__((vector_size(4 * LANES)));

// Numbers need not lie at multiples of a vector's size; a copy says so to every compiler.
template <class Whole, class Number>
inline Whole copied(const Number* from) {
  Whole value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline Vector load(const float* from) { return copied<Vector>(from); }
inline void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }
inline Mask load(const std::int32_t* from) { return copied<Mask>(from); }
inline void store(std::int32_t* to, Mask value) { std::memcpy(to, &value, sizeof value); }
inline Vector all(float value) { return value - Vector{}; }
inline Mask all(std::int32_t value) { return value - Mask{}; }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
inline Vector lesser(Vector a, Vector b) { return a < b ? a : b; }

inline float sum(Vector value) {
  float total = 0;
  for (int lane = 0; lane < LANES; ++lane) total += value[lane];
  return total;
}

inline bool any(Mask mask) {
  std::int32_t found = 0;
  for (int lane = 0; lane < LANES; ++lane) found |= mask[lane];
  return found != 0;
}

constexpr int filled(int count, int block = CHANNEL_BLOCK) {
  return (count + block - 1) / block * block;
}

template <int COUNT>
using Rows = std::integral_constant<int, COUNT>;

// Calls body(Rows<R>, first) for blocks of COUNT rows, then for smaller blocks of what is left.
template <int COUNT, class Body>
inline void in_blocks(int begin, int end, const Body& body) {
  int first = begin;
  for (; first + COUNT <= end; first += COUNT) body(Rows<COUNT>{}, first);
  if constexpr (COUNT > 1) in_blocks<COUNT / 2>(first, end, body);
}

// Calls body(Rows<COUNT>) or, for a smaller count, that of just so many rows.
template <int COUNT, class Body>
inline void in_one_block(int count, const Body& body) {
  if (count == COUNT) return body(Rows<COUNT>{});
  if constexpr (COUNT > 1) in_one_block<COUNT - 1>(count, body);
}

// Memory that a thread has used and will use again: new pages cost more than many a search.
class Store {
 public:
  ~Store() {
    for (const Block& block : blocks_) std::free(block.memory);
  }

  struct Block {
    void* memory;
    std::size_t size;
  };

  Block take(std::size_t size) {
    auto best = blocks_.end();
    for (auto block = blocks_.begin(); block != blocks_.end(); ++block) {
      const bool fits = block->size >= size && block->size / 2 <= size;
      if (fits && (best == blocks_.end() || block->size < best->size)) best = block;
    }
    if (best != blocks_.end()) {
      const Block found = *best;
      kept_ -= found.size;
      blocks_.erase(best);
      return found;
    }
    void* memory = nullptr;
    const bool huge = size >= HUGE_PAGE;
    if (posix_memalign(&memory, huge ? HUGE_PAGE : 64, size) != 0) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)  // searches stride through memory; it is a hint, so that failure is no matter
    if (huge) madvise(memory, size, MADV_HUGEPAGE);
#endif
    return {memory, size};
  }

  void put(Block block) noexcept {
    if (kept_ + block.size > MOST_KEPT) return std::free(block.memory);
    try {
      blocks_.push_back(block);
      kept_ += block.size;
    } catch (const std::bad_alloc&) {
      std::free(block.memory);
    }
  }

  static Store& of_this_thread() {
    static thread_local Store store;
    return store;
  }

 private:
  static constexpr std::size_t HUGE_PAGE = std::size_t(2) << 20;
  static constexpr std::size_t MOST_KEPT = std::size_t(256) << 20;
  std::vector<Block> blocks_;
  std::size_t kept_ = 0;
};

struct Release {
  std::size_t size = 0;
  void operator()(void* memory) const {
    if (memory != nullptr) Store::of_this_thread().put({memory, size});
  }
};

template <class Number>
using Buffer = std::unique_ptr<Number[], Release>;

// Uninitialised memory that vectors may be stored to, some beyond its end included.
template <class Number>
Buffer<Number> buffer(std::size_t count) {
  const Store::Block block = Store::of_this_thread().take(count * sizeof(Number) + 64);
  return Buffer<Number>(static_cast<Number*>(block.memory), Release{block.size});
}

}  // namespace
