// Images and learned kernels, wherever their numbers lie, as a scan reads them.

#include "problem.h"

extern "C" {

// Images (image, channel, row, column) or kernels (output, channel, row, column).
struct FourAxes {
  const float* numbers;
  std::int64_t strides[4];  // in numbers
  std::int32_t sizes[4];

  const float* at(int first, int channel, int row, int column) const {
    return numbers + first * strides[0] + channel * strides[1] + row * strides[2] +
           column * strides[3];
  }
};

}  // extern "C"

// Pixels (row, column, filled image and channel) with so many numbers an image; the rest zeros.
EXPORT int images_laid_out(const FourAxes* images, int channel_stride, float* pixels) {
  constexpr int COLUMNS = 16;  // of each row at once, so that they lie in the cache for every lane
  const auto [count, channels, height, width] = images->sizes;
  const std::size_t lanes = filled(count * channel_stride);
  if (lanes > std::size_t(count) * channels) {
    std::fill(pixels, pixels + lanes * height * width, 0.0f);
  }
  for (int row = 0; row < height; ++row) {
    for (int first = 0; first < width; first += COLUMNS) {
      const int columns = std::min(COLUMNS, width - first);
      for (int image = 0; image < count; ++image) {
        for (int channel = 0; channel < channels; ++channel) {
          const float* from = images->at(image, channel, row, first);
          float* to = pixels + (std::size_t(row) * width + first) * lanes +
                      image * channel_stride + channel;
          for (int x = 0; x < columns; ++x) to[x * lanes] = from[x * images->strides[3]];
        }
      }
    }
  }
  return 0;
}

namespace {

// One tap, or its sum or difference with its mirror image.
struct Fold {
  int tap, mirror;
  float sign;  // 0: the tap alone
};

std::vector<Fold> folds_of(int side, bool mirrored) {
  std::vector<Fold> folds;
  const int halves = mirrored ? side / 2 : side;
  for (const float sign : {1.0f, -1.0f}) {
    for (int tap = 0; tap < halves; ++tap) {
      folds.push_back({tap, side - 1 - tap, mirrored ? sign : 0.0f});
    }
    if (mirrored && side % 2 != 0 && sign > 0) folds.push_back({side / 2, side / 2, 0.0f});
  }
  return folds;
}

}  // namespace

// Taps (row taps, column taps, channels, filled outputs): along each axis even ones, then odd ones.
// Those of kernels that are not `mirrored` when the learned one is have to be seen whole by both.
EXPORT int folded_taps(const FourAxes* kernels, int mirrored, float* taps) {
  return guarded([&] {
    const auto [outputs, channels, side, columns] = kernels->sizes;
    const std::size_t weights = std::size_t(channels) * filled(outputs);
    const auto moved = buffer<float>(side * columns * weights);
    std::fill(moved.get(), moved.get() + side * columns * weights, 0.0f);
    for (int p = 0; p < side; ++p) {
      for (int q = 0; q < columns; ++q) {
        for (int c = 0; c < channels; ++c) {
          const float* from = kernels->at(0, c, p, q);
          float* to = moved.get() + (p * columns + q) * weights + std::size_t(c) * filled(outputs);
          for (int o = 0; o < outputs; ++o) to[o] = from[o * kernels->strides[0]];
        }
      }
    }
    const std::vector<Fold> folds = folds_of(side, mirrored);
    for (const Fold& row : folds) {
      const float *line = moved.get() + row.tap * side * weights,
                  *other = moved.get() + row.mirror * side * weights;
      for (const Fold& column : folds) {
        const std::size_t tap = column.tap * weights, mirror = column.mirror * weights;
        for (std::size_t w = 0; w < weights; w += LANES, taps += LANES) {
          Vector sum = load(line + tap + w) + all(column.sign) * load(line + mirror + w);
          sum += all(row.sign) * load(other + tap + w);
          sum += all(row.sign * column.sign) * load(other + mirror + w);
          store(taps, sum);
        }
      }
    }
  });
}
