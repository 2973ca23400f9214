// Images resized, and answers of a convolution resized and compared with those of other sizes.
//
// The answers of a block of lanes are resized while they lie in the cache; no size's are kept.

#include <cstring>

#include "peaks.h"
#include "problem.h"
#include "resized.h"

namespace {

inline Vector blended(const float* one, const float* other, const float* shares) {
  return all(shares[0]) * load(one) + all(shares[1]) * load(other);
}

// Resizes a block's answers, (rows, columns, LANES), row by row: keep(i, line), the line having an
// answer for each column that is not frame.
template <class Keep>
void each_resized_row(const Blend& rows, const Blend& columns, int width, const float* map,
                      float* between, float* line, const Keep& keep) {
  if (rows.same && columns.same) {
    for (int i = 0; i < rows.pixels; ++i) keep(i, map + std::size_t(i) * width * LANES);
    return;
  }
  for (int i = rows.first; i < rows.last; ++i) {
    const float* one = map + std::size_t(rows.from[2 * i]) * width * LANES;
    const float* other = map + std::size_t(rows.from[2 * i + 1]) * width * LANES;
    for (int j = 0; j < width * LANES; j += LANES) {
      store(between + j, blended(one + j, other + j, rows.shares + 2 * i));
    }
    for (int j = columns.first; j < columns.last; ++j) {
      const std::int32_t* from = columns.from + 2 * j;
      store(line + (j - columns.first) * LANES,
            blended(between + from[0] * LANES, between + from[1] * LANES, columns.shares + 2 * j));
    }
    keep(i, line);
  }
}

// Calls keep(block, i, line) for all rows of the resized answers of a problem with one scale.
template <class Keep>
void scan_resized(const Problem& problem, const Blend& rows, const Blend& columns,
                  const Keep& keep) {
  struct Desk {
    Buffer<float> map, between, line;
  };
  std::vector<Desk> desks;
  const std::size_t width = problem.width * LANES;
  for (int number = 0; number < problem.threads; ++number) {
    desks.push_back({buffer<float>(problem.height * width), buffer<float>(width),
                     buffer<float>(std::size_t(columns.pixels) * LANES)});
  }
  const auto everything = [](int, int) { return true; };
  scan_scales(problem, everything, [&](const Member& member, Scan& scan, int scale, int block) {
    const Desk& desk = desks[member.number];
    const Vector bias = load(problem.bias + block * LANES % problem.outputs);
    const auto put = [&](int i, int j, Vector answer) {
      store(desk.map.get() + i * width + j * LANES, answer + bias);
    };
    if (problem.black != nullptr) {
      answers_of(problem, scan, scale, block,
                 [&](int i, int j, Vector answer, bool) { put(i, j, answer); });
    } else {
      for (int i = 0; i < problem.height; ++i) {
        scan.answer_row(problem.columns[0], block, i, [&](int j, Vector answer) { put(i, j, answer); });
      }
    }
    each_resized_row(rows, columns, problem.width, desk.map.get(), desk.between.get(),
                     desk.line.get(), [&](int i, const float* line) { keep(block, i, line); });
  });
}

}  // namespace

// Resizes images (row, column, lane) to (rows.pixels, columns.pixels, lane).
EXPORT int resized_images(const Images* images, const Blend* rows, const Blend* columns, int width,
                          int threads, float* to) {
  return guarded([&] {
    const std::size_t lanes = images->pixel_stride;
    std::vector<Buffer<float>> between;
    for (int number = 0; number < threads; ++number) between.push_back(buffer<float>(width * lanes));
    Team::run(threads, [&](const Member& member) {
      float* line = between[member.number].get();
      member.share(rows->pixels, [&](int i) {
        float* row = to + i * columns->pixels * lanes;
        std::memset(row, 0, columns->pixels * lanes * sizeof(float));
        if (i < rows->first || i >= rows->last) return;
        const float* one = images->pixels + rows->from[2 * i] * images->row_stride;
        const float* other = images->pixels + rows->from[2 * i + 1] * images->row_stride;
        for (std::size_t at = 0; at < width * lanes; at += LANES) {
          store(line + at, blended(one + at, other + at, rows->shares + 2 * i));
        }
        for (int j = columns->first; j < columns->last; ++j) {
          const std::int32_t* from = columns->from + 2 * j;
          for (std::size_t lane = 0; lane < lanes; lane += LANES) {
            store(row + j * lanes + lane, blended(line + from[0] * lanes + lane,
                                                  line + from[1] * lanes + lane,
                                                  columns->shares + 2 * j));
          }
        }
      });
    });
  });
}

// Lets one size compete for `best` and `choice`, (rows.pixels, columns.pixels, images, outputs).
EXPORT int resized_maximum(const Problem* problem, const Blend* rows, const Blend* columns, int size,
                           float* best, std::int32_t* choice) {
  return guarded([&] {
    const std::size_t lanes = std::size_t(problem->images.count) * problem->outputs;
    scan_resized(*problem, *rows, *columns, [&](int block, int i, const float* line) {
      for (int j = columns->first; j < columns->last; ++j, line += LANES) {
        const std::size_t at = (std::size_t(i) * columns->pixels + j) * lanes + block * LANES;
        const Vector answer = load(line), before = load(best + at);
        const Mask won = answer > before;
        store(best + at, won ? answer : before);
        store(choice + at, won ? all(size) : load(choice + at));
      }
    });
  });
}

// The peaks of the rows of one size, (rows.pixels, images * outputs); those of the frame are left.
EXPORT int resized_peaks(const Problem* problem, const Blend* rows, const Blend* columns,
                         const Peaks* peaks) {
  return guarded([&] {
    const std::size_t lanes = std::size_t(problem->images.count) * problem->outputs;
    scan_resized(*problem, *rows, *columns, [&](int block, int i, const float* line) {
      keep_peak(line, columns->last - columns->first, columns->first, *peaks,
                i * lanes + block * LANES);
    });
  });
}
