// What a SiConv2d answers, all of it or pooled over its scales as it is computed.
//
// Answers are laid out (row, column, image, channel out) with a lane for each image and channel.

#include "problem.h"

namespace {

inline std::size_t place(const Problem& problem, int border, int i, int j, int block) {
  const std::size_t lanes = std::size_t(problem.images.count) * problem.outputs;
  return (std::size_t(i + border) * problem.width + j + border) * lanes + block * LANES;
}

inline Vector bias_of(const Problem& problem, int block) {
  return load(problem.bias + block * LANES % problem.outputs);
}

bool everything(int, int) { return true; }

// The largest scale whose kernel stays inside the image, for each row and column of the answer.
int reach(const Problem& problem, int i, int j) {
  const int depth = std::min(std::min(i, problem.height - 1 - i), std::min(j, problem.width - 1 - j));
  int scale = problem.scales - 1;
  while (problem.borders[scale] > depth) --scale;
  return scale;
}

}  // namespace

// Scales' answers (scales, height, width, images, outputs), with bias, and cut off below zero if
// `rectified`. Borders are left as they are.
EXPORT int dense_answers(const Problem* problem, int rectified, float* answers) {
  return guarded([&] {
    const std::size_t whole = place(*problem, 0, problem->height, 0, 0);
    scan_scales(*problem, everything, [&](const Member&, Scan& scan, int scale, int block) {
      const Vector bias = bias_of(*problem, block), zero = {};
      const int border = problem->borders[scale];
      answers_of(*problem, scan, scale, block, [&](int i, int j, Vector answer, bool) {
        answer += bias;
        store(answers + scale * whole + place(*problem, border, i, j, block),
              rectified ? larger(answer, zero) : answer);
      });
    });
  });
}

extern "C" {

// Where rounding can have decided which scale's answer is the largest, (height, width, images,
// outputs): the largest but one and its scale, and the largest but two.
struct RunnersUp {
  float* second;  // becomes how many scales rounding leaves in doubt: 0, 2, or 3 for more
  float* third;
  std::int32_t* choice;
};

}  // extern "C"

namespace {

void keep_runners_up(const RunnersUp& runners, std::size_t at, Mask won, Vector before, Mask chosen,
                     Vector answer, Mask scale) {
  const Vector other = won ? before : answer, second = load(runners.second + at);
  const Mask seconds = other > second, other_scale = won ? chosen : scale;
  store(runners.third + at, larger(seconds ? second : other, load(runners.third + at)));
  store(runners.second + at, seconds ? other : second);
  store(runners.choice + at, seconds ? other_scale : load(runners.choice + at));
}

// The largest answers with their bias, or the zeros around bigger kernels' answers where those are
// larger; and what of this rounding leaves in doubt.
void finish_pixel(const Problem& problem, int i, int j, const float* noise, float* best,
                  std::int32_t* choice, const RunnersUp* runners) {
  const bool framed = reach(problem, i, j) < problem.scales - 1;
  const int images = problem.images.count;
  const std::int16_t* black = problem.black + (std::size_t(i) * problem.width + j) * images;
  for (int block = 0; block < images * problem.outputs / LANES; ++block) {
    const std::size_t at = place(problem, 0, i, j, block);
    const Vector largest = load(best + at), answer = largest + bias_of(problem, block), zero = {};
    const Mask chosen = load(choice + at), below = framed ? answer < zero : Mask{};
    if (runners != nullptr) {
      const Vector doubt = load(noise + block * LANES), enough = largest - doubt - doubt;
      Mask many = load(runners->third + at) >= enough;
      if (framed) {
        const Mask dark = black[block * LANES / problem.outputs] > 0 ? chosen == all(0) : Mask{};
        many |= ~dark & (answer <= doubt) & (answer >= -doubt);
      }
      const Vector two = load(runners->second + at) >= enough ? all(2.0f) : zero;
      store(runners->second + at, many ? all(3.0f) : two);
    }
    store(best + at, below ? zero : answer);
    store(choice + at, below ? all(-1) : chosen);
  }
}

}  // namespace

// The largest answer over scales at each pixel, (height, width, images, outputs), and its scale:
// -1 where the zeros around bigger kernels' answers are larger than any answer. Where all but the
// first of several scales see the same black, only the first takes part. `runners`, unless null,
// receives what rounding, which may move an answer by `noise`, leaves in doubt.
EXPORT int pixel_pooled(const Problem* problem, const float* noise, float* best,
                        std::int32_t* choice, const RunnersUp* runners) {
  return guarded([&] {
    const std::size_t whole = place(*problem, 0, problem->height, 0, 0);
    std::fill(best, best + whole, NOTHING);
    std::memset(choice, 0, whole * sizeof *choice);
    if (runners != nullptr) {
      std::fill(runners->second, runners->second + whole, NOTHING);
      std::fill(runners->third, runners->third + whole, NOTHING);
      std::memset(runners->choice, 0, whole * sizeof *choice);
    }
    scan_scales(*problem, everything, [&](const Member&, Scan& scan, int scale, int block) {
      const int border = problem->borders[scale];
      const Mask this_scale = all(scale);
      answers_of(*problem, scan, scale, block, [&](int i, int j, Vector answer, bool dark) {
        if (dark && scale > 0) return;
        const std::size_t at = place(*problem, border, i, j, block);
        const Vector before = load(best + at);
        const Mask won = answer > before, chosen = load(choice + at);
        if (runners != nullptr) {
          keep_runners_up(*runners, at, won, before, chosen, answer, this_scale);
        }
        store(best + at, won ? answer : before);
        store(choice + at, won ? this_scale : chosen);
      });
    });
    for (int i = 0; i < problem->height; ++i) {
      for (int j = 0; j < problem->width; ++j) {
        finish_pixel(*problem, i, j, noise, best, choice, runners);
      }
    }
  });
}

// One scale's answers at some places (places, 4) of image, channel out, row and column of the
// kernel's first tap, summed in double precision. kernels: (outputs, side, side, channels).
EXPORT int exact_answers(const Images* images, const float* kernels, const float* bias, int side,
                         const std::int32_t* places, int count, float* answers) {
  const std::size_t channels = images->channels, taps = side * channels;
  for (int number = 0; number < count; ++number) {
    const std::int32_t* place = places + 4 * number;
    const float* kernel = kernels + place[1] * side * taps;
    const float* first = images->pixels + place[2] * images->row_stride +
                         place[3] * images->pixel_stride + place[0] * images->channel_stride;
    double sums[4] = {};
    for (int p = 0; p < side; ++p, kernel += taps) {
      for (int q = 0; q < side; ++q) {
        const float* pixel = first + p * images->row_stride + q * images->pixel_stride;
        for (std::size_t c = 0; c < channels; ++c) {
          sums[(q + c) % 4] += double(pixel[c]) * double(kernel[q * channels + c]);
        }
      }
    }
    answers[number] = float(sums[0] + sums[1] + sums[2] + sums[3] + double(bias[place[1]]));
  }
  return 0;
}

// The answers of the scale that holds the largest one, (height, width, images, outputs), each
// image's and channel's scale (images, outputs), and the largest answer of each scale, counting
// the zeros around it: (scales, images, outputs). `pooled` holds zeros before.
EXPORT int slice_pooled(const Problem* problem, float* pooled, std::int32_t* choice,
                        float* loudness) {
  return guarded([&] {
    const std::size_t lanes = std::size_t(problem->images.count) * problem->outputs;
    const std::size_t area = std::size_t(problem->height) * problem->width;
    std::vector<Buffer<float>> maps;
    for (int number = 0; number < problem->threads; ++number) {
      maps.push_back(buffer<float>(area * LANES));
    }
    const auto best = buffer<float>(lanes);
    std::fill(best.get(), best.get() + lanes, NOTHING);
    std::memset(choice, 0, lanes * sizeof *choice);
    scan_scales(*problem, everything, [&](const Member& member, Scan& scan, int scale, int block) {
      float* map = maps[member.number].get();
      const int border = problem->borders[scale], rows = problem->rows[scale].answers,
                columns = problem->columns[scale].answers;
      const Vector bias = bias_of(*problem, block), zero = {};
      Vector loudest = all(NOTHING);
      answers_of(*problem, scan, scale, block, [&](int i, int j, Vector answer, bool) {
        answer += bias;
        loudest = larger(answer, loudest);
        store(map + (std::size_t(i) * columns + j) * LANES, answer);
      });
      if (border > 0) loudest = larger(loudest, zero);
      store(loudness + scale * lanes + block * LANES, loudest);
      const Vector before = load(best.get() + block * LANES);
      const Mask won = loudest > before;
      if (!any(won)) return;
      store(best.get() + block * LANES, won ? loudest : before);
      store(choice + block * LANES, won ? all(scale) : load(choice + block * LANES));
      for (int i = 0; i < rows; ++i) {
        for (int j = 0; j < columns; ++j) {
          float* to = pooled + place(*problem, border, i, j, block);
          const Vector answer = load(map + (std::size_t(i) * columns + j) * LANES);
          store(to, won ? answer : load(to));
        }
      }
    });
    for (int i = 0; i < problem->height; ++i) {
      for (int j = 0; j < problem->width; ++j) {
        const Mask inside = all(reach(*problem, i, j));
        for (std::size_t lane = 0; lane < lanes; lane += LANES) {
          float* to = pooled + place(*problem, 0, i, j, 0) + lane;
          store(to, load(choice + lane) > inside ? Vector{} : load(to));
        }
      }
    }
  });
}

namespace {

// Calls finish with the lanes of a block that have chosen the scale, where any have.
template <class Finish>
void scan_chosen(const Problem& problem, const std::int32_t* choice, const Finish& finish) {
  const auto chosen = [&](int scale, int block) {
    return load(choice + block * LANES) == all(scale);
  };
  scan_scales(
      problem, [&](int scale, int block) { return any(chosen(scale, block)); },
      [&](const Member&, Scan& scan, int scale, int block) {
        finish(scan, scale, block, chosen(scale, block));
      });
}

}  // namespace

// The answers of a given scale of each image and channel, (height, width, images, outputs).
// `pooled` holds zeros before.
EXPORT int chosen_answers(const Problem* problem, const std::int32_t* choice, float* pooled) {
  return guarded([&] {
    scan_chosen(*problem, choice, [&](Scan& scan, int scale, int block, Mask chosen) {
      const Vector bias = bias_of(*problem, block);
      const int border = problem->borders[scale];
      answers_of(*problem, scan, scale, block, [&](int i, int j, Vector answer, bool) {
        float* to = pooled + place(*problem, border, i, j, block);
        store(to, chosen ? answer + bias : load(to));
      });
    });
  });
}

// Of each image and channel, the row of the largest answer and the first row, in the order of the
// scales, that rounding may have kept from being it: both (2, images, outputs) of scale and row.
// `noise` says how far rounding may move an answer; `choice`, unless null, is the only scale.
EXPORT int peak_rows(const Problem* problem, const std::int32_t* choice, const float* noise,
                     std::int32_t* first, std::int32_t* loudest) {
  return guarded([&] {
    const std::size_t lanes = std::size_t(problem->images.count) * problem->outputs;
    std::vector<std::size_t> starts = {0};
    for (int scale = 0; scale < problem->scales; ++scale) {
      starts.push_back(starts.back() + problem->rows[scale].answers);
    }
    const auto peaks = buffer<float>(starts.back() * lanes);
    std::fill(peaks.get(), peaks.get() + starts.back() * lanes, NOTHING);
    const auto finish = [&](Scan& scan, int scale, int block, Mask chosen) {
      float* to = peaks.get() + starts[scale] * lanes + block * LANES;
      for (int i = 0; i < problem->rows[scale].answers; ++i) {
        Vector peak = all(NOTHING);
        scan.answer_row(problem->columns[scale], block, i,
                        [&](int, Vector answer) { peak = larger(answer, peak); });
        store(to + i * lanes, chosen ? peak : all(NOTHING));
      }
    };
    if (choice != nullptr) {
      scan_chosen(*problem, choice, finish);
    } else {
      scan_scales(*problem, everything, [&](const Member&, Scan& scan, int scale, int block) {
        finish(scan, scale, block, Vector{} == Vector{});
      });
    }
    for (std::size_t lane = 0; lane < lanes; lane += LANES) {
      Vector largest = all(NOTHING);
      for (std::size_t row = 0; row < starts.back(); ++row) {
        largest = larger(load(peaks.get() + row * lanes + lane), largest);
      }
      const Vector enough = largest - load(noise + lane);
      for (const auto& [threshold, found] : {std::pair(enough, first), std::pair(largest, loudest)}) {
        Mask scales = {}, rows = {}, open = Vector{} == Vector{};
        for (int scale = 0; scale < problem->scales; ++scale) {
          for (int i = 0; i < problem->rows[scale].answers; ++i) {
            const Mask here =
                open & (load(peaks.get() + (starts[scale] + i) * lanes + lane) >= threshold);
            scales = here ? all(scale) : scales;
            rows = here ? all(i) : rows;
            open &= ~here;
          }
        }
        store(found + lane, scales);
        store(found + lanes + lane, rows);
      }
    }
  });
}

