// The gradient of a first stage's kernels, where each answer has chosen one scale, and which answers
// see nothing but black.

#include <algorithm>
#include <cstring>
#include <limits>

#include "problem.h"

namespace {

struct Spot {
  std::uint32_t pixel;  // of all images, where the kernel's first tap lies
  float gradient;
};

// The sum of gradient times patch over spots, (side, filled(side)) with so many numbers a row.
void add_patches(const Spot* spots, std::size_t count, const float* planes, int plane_width,
                 int side, int row_length, float* sums) {
  const int vectors = (side + LANES - 1) / LANES;
  in_blocks<4>(0, vectors, [&](auto vector_count, int z) {
    in_blocks<4>(0, side, [&](auto row_count, int p) {
      constexpr int Z = decltype(vector_count)::value, P = decltype(row_count)::value;
      Vector total[P * Z] = {};
      const float* shifted = planes + std::size_t(p) * plane_width + z * LANES;
      for (std::size_t spot = 0; spot < count; ++spot) {
        const Vector gradient = all(spots[spot].gradient);
        const float* patch = shifted + spots[spot].pixel;
        for (int r = 0; r < P; ++r) {
          for (int s = 0; s < Z; ++s) {
            total[r * Z + s] += gradient * load(patch + r * plane_width + s * LANES);
          }
        }
      }
      for (int r = 0; r < P; ++r) {
        for (int s = 0; s < Z; ++s) {
          store(sums + (p + r) * row_length + (z + s) * LANES, total[r * Z + s]);
        }
      }
    });
  });
}

}  // namespace

// Gradients of the enlarged kernels, (scales, outputs, channels, longest, row_length), from those
// of answers that have chosen a scale each: `gradient` (height, width, images, stride), `choice`
// likewise or, with `one_choice`, (images, stride). Planes (channels, images, rows, plane_width)
// hold the images; an answer's patch begins `offsets[scale]` after its own row and column.
EXPORT int chosen_gradients(const float* gradient, const std::int32_t* choice, int one_choice,
                            int height, int width, int images, int outputs, int stride, int scales,
                            const std::int32_t* sides, const std::int32_t* offsets,
                            const float* planes, int channels, int plane_rows, int plane_width,
                            int longest, int row_length, int threads, float* kernels) {
  return guarded([&] {
    const std::size_t lanes = std::size_t(images) * stride;
    const auto each = [&](const auto& body) {
      for (int image = 0; image < images; ++image) {
        for (int pixel = 0; pixel < height * width; ++pixel) {
          const std::size_t at = pixel * lanes + std::size_t(image) * stride;
          const std::int32_t* chosen = choice + (one_choice ? std::size_t(image) * stride : at);
          for (int output = 0; output < outputs; ++output) {
            if (gradient[at + output] != 0 && chosen[output] >= 0) {
              body(image, pixel, output, chosen[output], gradient[at + output]);
            }
          }
        }
      }
    };
    std::vector<std::size_t> starts(std::size_t(outputs) * scales + 1);
    each([&](int, int, int output, int scale, float) { ++starts[output * scales + scale + 1]; });
    for (std::size_t key = 1; key < starts.size(); ++key) starts[key] += starts[key - 1];
    const auto spots = buffer<Spot>(starts.back());
    std::vector<std::size_t> next(starts.begin(), starts.end() - 1);
    each([&](int image, int pixel, int output, int scale, float value) {
      const int row = pixel / width + offsets[scale], column = pixel % width + offsets[scale];
      const std::uint32_t place = (std::uint32_t(image) * plane_rows + row) * plane_width + column;
      spots[next[output * scales + scale]++] = {place, value};
    });
    const std::size_t plane = std::size_t(images) * plane_rows * plane_width;
    Team::run(threads, [&](const Member& member) {
      member.share(outputs * scales, [&](int key) {
        const int output = key / scales, scale = key % scales;
        const std::size_t count = starts[key + 1] - starts[key];
        if (count == 0) return;
        for (int c = 0; c < channels; ++c) {
          const std::size_t kernel = (std::size_t(scale) * outputs + output) * channels + c;
          add_patches(&spots[starts[key]], count, planes + c * plane, plane_width, sides[scale],
                      row_length, kernels + kernel * longest * row_length);
        }
      });
    });
  });
}

namespace {

constexpr int SHORTS = 8;
using Shorts = std::int16_t __attribute__((vector_size(2 * SHORTS)));

inline Shorts all(std::int16_t value) { return value - Shorts{}; }
inline Shorts lesser(Shorts a, Shorts b) { return a < b ? a : b; }

}  // namespace

// How many scales, counted from the smallest, see nothing but black: (height, width, images).
EXPORT int black_scales(const Images* images, int image_height, int image_width, int kernel_size,
                        int scales, int padded, std::int16_t* black) {
  return guarded([&] {
    const int count = images->count;
    const int far = std::min(image_height + image_width + kernel_size + scales,
                             std::numeric_limits<std::int16_t>::max() - 1);
    const int height = padded ? image_height : image_height - kernel_size + 1;
    const int width = padded ? image_width : image_width - kernel_size + 1;
    // Distance to the next pixel that is not black, a step to each of eight neighbours being 1.
    const int blocks = filled(count, SHORTS) / SHORTS;
    const std::size_t line = std::size_t(image_width + 2) * blocks;
    const auto distance = buffer<Shorts>((image_height + 2) * line);
    std::fill(distance.get(), distance.get() + (image_height + 2) * line, all(std::int16_t(far)));
    const auto at = [&](int row, int column) {
      return distance.get() + (row + 1) * line + std::size_t(column + 1) * blocks;
    };
    const auto spread = [&](int row, int column, int step) {
      Shorts* here = at(row, column);
      const Shorts *beside = at(row, column - step), *above = at(row - step, column);
      for (int block = 0; block < blocks; ++block) {
        const Shorts nearest = lesser(lesser(above[block - blocks], above[block]),
                                      lesser(above[block + blocks], beside[block]));
        here[block] = lesser(here[block], nearest + all(std::int16_t(1)));
      }
    };
    for (int row = 0; row < image_height; ++row) {
      for (int column = 0; column < image_width; ++column) {
        const float* pixel =
            images->pixels + row * images->row_stride + column * images->pixel_stride;
        auto* here = reinterpret_cast<std::int16_t*>(at(row, column));
        for (int n = 0; n < count; ++n) {
          bool dark = true;
          for (int c = 0; c < images->channels; ++c) {
            dark &= pixel[n * images->channel_stride + c] == 0;
          }
          here[n] = dark ? std::int16_t(far) : std::int16_t(0);
        }
        spread(row, column, 1);
      }
    }
    for (int row = image_height - 1; row >= 0; --row) {
      for (int column = image_width - 1; column >= 0; --column) spread(row, column, -1);
    }
    const int radius = kernel_size / 2, centre = padded ? 0 : radius;
    for (int i = 0; i < height; ++i) {
      for (int j = 0; j < width; ++j) {
        const int depth = std::min(std::min(i, height - 1 - i), std::min(j, width - 1 - j));
        const int most = padded ? scales : std::min(scales, depth + 1);
        const auto* here = reinterpret_cast<const std::int16_t*>(at(i + centre, j + centre));
        std::int16_t* clear = black + (std::size_t(i) * width + j) * count;
        for (int n = 0; n < count; ++n) clear[n] = std::max(0, std::min(most, here[n] - radius));
      }
    }
  });
}
