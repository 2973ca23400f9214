// The largest answers of a SiConv2d, computed in space at the places that a search has found.
//
// An enlarged kernel is A w A^T with a tall matrix A, so an answer is w times what its taps see of
// the image, A^T patch A. Vectors run over the channels of the image, a multiple of CHANNEL_BLOCK.

#include <cmath>
#include <cstring>
#include <limits>

#include "problem.h"

extern "C" {

// How kernels are enlarged, and where their answers lie.
struct Ladder {
  std::int32_t kernel_size, scales, longest;
  std::int32_t padded;       // whether images are surrounded by zeros
  const std::int32_t* sides;  // of each scale's kernel
  const float* taps;          // (scales, longest, kernel_size): how much of each learned tap
};

}  // extern "C"

namespace {

constexpr float SLACK = 8 * std::numeric_limits<float>::epsilon();

struct Place {
  int scale, row, column;
  float value;
};

// One image seen through one ladder, and what is computed of it on the way.
class Sight {
 public:
  Sight(const Images& images, const Ladder& ladder, int height, int width)
      : images_(images),
        ladder_(ladder),
        height_(height),
        width_(width),
        channels_(images.channel_stride),
        margin_(ladder.longest),
        rows_(buffer<float>(std::size_t(ladder.kernel_size) * width * channels_)),
        mixed_(buffer<float>(std::size_t(ladder.kernel_size) * mixed_width())),
        answers_(buffer<float>(width + 2 * ladder.longest + LANES)) {
    std::memset(mixed_.get(), 0, sizeof(float) * ladder.kernel_size * mixed_width());
  }

  // The first of the largest answers in one row of one scale, up to rounding.
  Place peak(int image, int scale, int row, const float* weight) {
    see_row(image, scale, row);
    mix(weight);
    const int side = ladder_.sides[scale], first = first_column(scale, 0);
    const int count = ladder_.padded ? width_ : width_ - side + 1;
    answer(scale, first, count);
    float largest = answers_[0];
    for (int j = 1; j < count; ++j) largest = answers_[j] > largest ? answers_[j] : largest;
    const float enough = largest - SLACK * std::fabs(largest);
    int column = 0;
    while (column + 1 < count && !(answers_[column] >= enough)) ++column;
    return {scale, row, column, largest};
  }

  // What each learned tap sees of the image at a place whose row was seen last: (a, b, channels).
  void seen_at(const Place& place, float* seen) const {
    const int k = ladder_.kernel_size, side = ladder_.sides[place.scale];
    const int first = first_column(place.scale, place.column);
    const int from = std::max(0, -first), to = std::min(side, width_ - first);
    for (int a = 0; a < k; ++a) {
      for (int c = 0; c < channels_; c += LANES) {
        const float* line = rows_.get() + std::size_t(a) * width_ * channels_ + c;
        in_blocks<WIDE>(0, k, [&](auto size, int b) {
          constexpr int R = decltype(size)::value;
          Vector sums[R] = {};
          for (int q = from; q < to; ++q) {
            const Vector x = load(line + std::size_t(first + q) * channels_);
            for (int r = 0; r < R; ++r) sums[r] += all(tap(place.scale, q, b + r)) * x;
          }
          for (int r = 0; r < R; ++r) store(seen + (a * k + b + r) * channels_ + c, sums[r]);
        });
      }
    }
  }

  // Adds what one answer's gradient gives for the image. kernel: scratch (side, k, channels).
  void send_back(const Place& place, int image, const float* weight, float gradient, float* kernel,
                 float* image_gradient) const {
    const int k = ladder_.kernel_size, side = ladder_.sides[place.scale];
    const int top = first_row(place.scale, place.row), left = first_column(place.scale, place.column);
    const int from = std::max(0, -left), to = std::min(side, width_ - left);
    for (int p = std::max(0, -top); p < std::min(side, height_ - top); ++p) {
      float* line = image_gradient + offset(image, top + p, left);
      for (int c = 0; c < channels_; c += LANES) {
        for (int b = 0; b < k; ++b) {
          Vector sum = {};
          for (int a = 0; a < k; ++a) {
            sum += all(tap(place.scale, p, a)) * load(weight + (a * k + b) * channels_ + c);
          }
          store(kernel + b * LANES, all(gradient) * sum);
        }
        for (int q = from; q < to; ++q) {
          float* to_pixel = line + q * images_.pixel_stride + c;
          Vector sum = load(to_pixel);
          for (int b = 0; b < k; ++b) sum += all(tap(place.scale, q, b)) * load(kernel + b * LANES);
          store(to_pixel, sum);
        }
      }
    }
  }

 private:
  std::size_t mixed_width() const { return width_ + 2 * margin_ + LANES; }

  float tap(int scale, int pixel, int learned) const {
    const std::size_t pixels = std::size_t(scale) * ladder_.longest + pixel;
    return ladder_.taps[pixels * ladder_.kernel_size + learned];
  }

  std::ptrdiff_t offset(int image, int row, int column) const {
    return row * images_.row_stride + column * images_.pixel_stride + image * channels_;
  }

  int first_row(int scale, int row) const {
    return ladder_.padded ? row - ladder_.sides[scale] / 2 : row;
  }
  int first_column(int scale, int column) const { return first_row(scale, column); }

  // What the taps along the rows see of the image: (a, width, channels).
  void see_row(int image, int scale, int row) {
    const int k = ladder_.kernel_size, top = first_row(scale, row);
    const int from = std::max(0, -top), to = std::min(ladder_.sides[scale], height_ - top);
    for (int x = 0; x < width_; ++x) {
      for (int c = 0; c < channels_; c += LANES) {
        const float* pixel = images_.pixels + offset(image, top, x) + c;
        in_blocks<WIDE>(0, k, [&](auto size, int a) {
          constexpr int R = decltype(size)::value;
          Vector sums[R] = {};
          for (int p = from; p < to; ++p) {
            const Vector value = load(pixel + p * images_.row_stride);
            for (int r = 0; r < R; ++r) sums[r] += all(tap(scale, p, a + r)) * value;
          }
          for (int r = 0; r < R; ++r) {
            store(rows_.get() + (std::size_t(a + r) * width_ + x) * channels_ + c, sums[r]);
          }
        });
      }
    }
  }

  // Weighed by what was learned: (b, width), with zeros around.
  void mix(const float* weight) {
    const int k = ladder_.kernel_size;
    for (int b = 0; b < k; ++b) {
      float* to = mixed_.get() + b * mixed_width() + margin_;
      for (int x = 0; x < width_; ++x) {
        Vector total = {};
        for (int a = 0; a < k; ++a) {
          for (int c = 0; c < channels_; c += LANES) {
            total += load(rows_.get() + (std::size_t(a) * width_ + x) * channels_ + c) *
                     load(weight + (a * k + b) * channels_ + c);
          }
        }
        to[x] = sum(total);
      }
    }
  }

  void answer(int scale, int first, int count) {
    const int k = ladder_.kernel_size, side = ladder_.sides[scale];
    for (int j = 0; j < count; j += LANES) {
      Vector total = {};
      for (int b = 0; b < k; ++b) {
        const float* line = mixed_.get() + b * mixed_width() + margin_ + first + j;
        for (int q = 0; q < side; ++q) total += all(tap(scale, q, b)) * load(line + q);
      }
      store(answers_.get() + j, total);
    }
  }

  const Images images_;
  const Ladder ladder_;
  const int height_, width_, channels_, margin_;
  Buffer<float> rows_, mixed_, answers_;
};

}  // namespace

// Scale, row, column and value of the largest answer of each image and channel, without bias, and
// what its taps see: `places` (3, images, outputs), `values` (images, outputs), `seen` (images,
// outputs, k, k, channels). Of two rows that a search cannot tell apart, `first` is kept unless
// `loudest` is louder; weight is (outputs, k, k, channels), `stride` the outputs of a row list.
EXPORT int winning_answers(const Images* images, const Ladder* ladder, int height, int width,
                           int outputs, int stride, const float* weight,
                           const std::int32_t* first, const std::int32_t* loudest, int threads,
                           std::int32_t* places, float* values, float* seen) {
  return guarded([&] {
    const int pairs = images->count * outputs, rows = images->count * stride;
    const std::size_t taps =
        std::size_t(ladder->kernel_size) * ladder->kernel_size * images->channel_stride;
    std::vector<Sight> sights;
    for (int number = 0; number < threads; ++number) {
      sights.emplace_back(*images, *ladder, height, width);
    }
    Team::run(threads, [&](const Member& member) {
      Sight& sight = sights[member.number];
      member.share(pairs, [&](int pair) {
        const int image = pair / outputs, output = pair % outputs, at = image * stride + output;
        const float* w = weight + output * taps;
        Place found = sight.peak(image, first[at], first[rows + at], w);
        if (first[at] != loudest[at] || first[rows + at] != loudest[rows + at]) {
          const Place other = sight.peak(image, loudest[at], loudest[rows + at], w);
          if (other.value > found.value + SLACK * std::fabs(other.value)) {
            found = other;
          } else {
            found = sight.peak(image, found.scale, found.row, w);
          }
        }
        float* here = seen + pair * taps;
        sight.seen_at(found, here);
        Vector total = {};
        for (std::size_t tap = 0; tap < taps; tap += LANES) total += load(here + tap) * load(w + tap);
        values[pair] = sum(total);
        places[pair] = found.scale;
        places[pairs + pair] = found.row;
        places[2 * pairs + pair] = found.column;
      });
    });
  });
}

// Adds the gradients of the weight and, unless null, of the images, given those of the values.
EXPORT int winning_answers_backward(const Images* images, const Ladder* ladder, int height,
                                    int width, int outputs, const float* weight,
                                    const std::int32_t* places, const float* seen,
                                    const float* gradients, int threads, float* weight_gradient,
                                    float* image_gradient) {
  return guarded([&] {
    const int pairs = images->count * outputs;
    const std::size_t taps =
        std::size_t(ladder->kernel_size) * ladder->kernel_size * images->channel_stride;
    const Sight sight(*images, *ladder, height, width);
    std::vector<Buffer<float>> kernels;
    for (int number = 0; number < threads; ++number) {
      kernels.push_back(buffer<float>(std::size_t(ladder->kernel_size) * LANES));
    }
    Team::run(threads, [&](const Member& member) {
      member.share(outputs, [&](int output) {
        for (int image = 0; image < images->count; ++image) {
          const int pair = image * outputs + output;
          const Vector gradient = all(gradients[pair]);
          float* to = weight_gradient + output * taps;
          for (std::size_t tap = 0; tap < taps; tap += LANES) {
            store(to + tap, load(to + tap) + gradient * load(seen + pair * taps + tap));
          }
        }
      });
      if (image_gradient == nullptr) return;
      member.share(images->count, [&](int image) {
        for (int output = 0; output < outputs; ++output) {
          const int pair = image * outputs + output;
          if (gradients[pair] == 0) continue;
          const Place place = {places[pair], places[pairs + pair], places[2 * pairs + pair], 0};
          sight.send_back(place, image, weight + output * taps, gradients[pair],
                          kernels[member.number].get(), image_gradient);
        }
      });
    });
  });
}
