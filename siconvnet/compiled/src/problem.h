// A convolution with all its scales, and the loop over them that every pooling shares.
#pragma once

#include <cstring>
#include <vector>

#include "scan.h"

extern "C" {

struct Problem {
  Images images;
  std::int32_t scales, outputs;  // outputs: a multiple of CHANNEL_BLOCK, the last ones of zeros
  std::int32_t height, width;    // of an answer with its border
  std::int32_t threads;
  const Axis *rows, *columns;   // one for each scale
  const std::int32_t* borders;  // rows and columns of zeros around each scale's answer
  const float* taps;            // folded, (row taps, column taps, channels, outputs)
  const float* bias;            // (outputs)
  const std::int16_t* black;    // (height, width, images): how many scales see only black there
};

}  // extern "C"

namespace {

constexpr float NOTHING = -__builtin_inff();

// Calls finish(member, scan, scale, block) for every block of lanes of every scale that is wanted.
template <class Wanted, class Finish>
void scan_scales(const Problem& problem, const Wanted& wanted, const Finish& finish) {
  Scan scan(problem.images, problem.rows[0], problem.columns[0], problem.outputs);
  int most_rows = 0;
  for (int scale = 0; scale < problem.scales; ++scale) {
    most_rows = std::max(most_rows, problem.rows[scale].answers);
  }
  scan.make_room(most_rows);
  std::vector<Scan::Desk> desks;
  for (int number = 0; number < problem.threads; ++number) desks.push_back(scan.desk());
  Team::run(problem.threads, [&](const Member& member) {
    Scan::Desk& desk = desks[member.number];
    scan.analyse(member, desk);
    for (int scale = 0; scale < problem.scales; ++scale) {
      bool needed = false;
      for (int block = 0; block < scan.blocks(); ++block) needed |= wanted(scale, block);
      if (!needed) continue;
      scan.multiply_all(member, problem.rows[scale], problem.columns[scale], problem.taps, desk,
                    [&](int block) { return wanted(scale, block); });
      member.share(scan.blocks(), [&](int block) {
        if (wanted(scale, block)) finish(member, scan, scale, block);
      });
      member.wait();
    }
  });
}

// The answers of a block, black ones exactly: keep(i, j, answer), i and j without the border.
template <class Keep>
inline void answers_of(const Problem& problem, const Scan& scan, int scale, int block,
                       const Keep& keep) {
  const int border = problem.borders[scale], images = problem.images.count;
  const int image = block * LANES / problem.outputs;
  for (int i = 0; i < problem.rows[scale].answers; ++i) {
    const std::int16_t* black =
        problem.black + ((i + border) * problem.width + border) * std::size_t(images) + image;
    scan.answer_row(problem.columns[scale], block, i, [&](int j, Vector answer) {
      const bool dark = black[std::size_t(j) * images] > scale;
      keep(i, j, dark ? Vector{} : answer, dark);
    });
  }
}

template <class Work>
int guarded(const Work& work) {
  try {
    work();
    return 0;
  } catch (...) {
    return 1;
  }
}

}  // namespace
