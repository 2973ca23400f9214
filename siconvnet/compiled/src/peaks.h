// The largest answer of a row, its place, and the lowest answers, as a search keeps them.
#pragma once

#include "vector.h"

extern "C" {

struct Peaks {
  float* largest;       // (rows, lanes)
  std::int32_t* column;  // of the first of the answers that rounding cannot tell from it
  float* lowest;        // (rows, lanes)
};

}  // extern "C"

namespace {

// How many units in the last place of the largest answer count as rounding.
constexpr float ROUNDING = 64 * 1.1920929e-7f;

// The least of the answers that rounding cannot tell from the largest.
inline Vector within_rounding(Vector largest, Vector lowest) {
  const Vector zero = {};
  return largest - all(ROUNDING) * larger(larger(largest, zero - lowest), zero);
}

// Keeps the peak of a row of answers, (columns, LANES). `first`: the column of the first of them.
inline void keep_peak(const float* answers, int columns, int first, const Peaks& peaks,
                      std::size_t at) {
  Vector largest = load(answers), lowest = largest, other_largest = largest, other_lowest = largest;
  in_blocks<2>(1, columns, [&](auto size, int j) {  // two chains of comparisons wait less than one
    const Vector answer = load(answers + j * LANES);
    largest = larger(answer, largest);
    lowest = lesser(answer, lowest);
    if constexpr (decltype(size)::value == 2) {
      const Vector other = load(answers + (j + 1) * LANES);
      other_largest = larger(other, other_largest);
      other_lowest = lesser(other, other_lowest);
    }
  });
  largest = larger(other_largest, largest);
  lowest = lesser(other_lowest, lowest);
  const Vector enough = within_rounding(largest, lowest);
  Mask column = {};
  for (int j = columns - 1; j >= 0; --j) {
    column = load(answers + j * LANES) >= enough ? all(first + j) : column;
  }
  store(peaks.largest + at, largest);
  store(peaks.column + at, column);
  store(peaks.lowest + at, lowest);
}

}  // namespace
