// What the winners of a last stage see of several sizes of an image, and their gradients.
//
// Gradients go to the image that the last stage saw, pixel by pixel, and on to the size of the
// first stage's images that won there.

#include <cstring>

#include "problem.h"
#include "resized.h"

extern "C" {

// How answers along one axis are made of the pixels that the last stage sees.
struct Sights {
  std::int32_t answers, side, span;
  const std::int32_t* first;  // (sizes, answers): the first pixel
  const float* shares;        // (sizes, answers, span, side): of each pixel in what each tap sees
};

struct ZoomedStage {
  const float* stack;  // (height, width, images, channels), channels filled
  std::int32_t height, width, images, channels, outputs;
  Sights rows, columns;
  const float* kernels;                 // (outputs, side, side, channels)
  const std::int32_t *size, *row, *column;  // of the winners, (images, outputs) each
};

// The size of the images that a first stage saw, and how its answers were resized.
struct ZoomedSize {
  const float* pixels;  // (rows.pixels + side - 1, columns.pixels + side - 1, pixel_stride)
  std::int32_t answer_rows, answer_columns;
  Blend rows, columns;
};

}  // extern "C"

namespace {

// One winner of the last stage: where what it sees begins, and its rows and columns of shares.
struct Winner {
  int top, left;
  const float *rows, *columns;  // (span, side)
};

Winner winner_of(const ZoomedStage& stage, int pair) {
  const Sights &rows = stage.rows, &columns = stage.columns;
  const std::size_t row = std::size_t(stage.size[pair]) * rows.answers + stage.row[pair];
  const std::size_t column = std::size_t(stage.size[pair]) * columns.answers + stage.column[pair];
  return {rows.first[row], columns.first[column], rows.shares + row * rows.span * rows.side,
          columns.shares + column * columns.span * columns.side};
}

// What each tap sees, (side, side, channels). between: scratch (side, LANES).
void see(const ZoomedStage& stage, int image, const Winner& winner, float* between, float* seen) {
  const int side = stage.rows.side;
  const std::size_t pixel = std::size_t(stage.images) * stage.channels;
  std::memset(seen, 0, sizeof(float) * side * side * stage.channels);
  for (int c = 0; c < stage.channels; c += LANES) {
    for (int y = 0; y < stage.rows.span; ++y) {
      const float* line = stage.stack + image * stage.channels + c +
                          (std::size_t(winner.top + y) * stage.width + winner.left) * pixel;
      in_blocks<WIDE>(0, side, [&](auto size, int b) {
        constexpr int R = decltype(size)::value;
        Vector sums[R] = {};
        for (int x = 0; x < stage.columns.span; ++x) {
          const Vector value = load(line + x * pixel);
          for (int r = 0; r < R; ++r) sums[r] += all(winner.columns[x * side + b + r]) * value;
        }
        for (int r = 0; r < R; ++r) store(between + (b + r) * LANES, sums[r]);
      });
      for (int a = 0; a < side; ++a) {
        const float share = winner.rows[y * side + a];
        if (share == 0) continue;
        for (int b = 0; b < side; ++b) {
          float* to = seen + (std::size_t(a) * side + b) * stage.channels + c;
          store(to, load(to) + all(share) * load(between + b * LANES));
        }
      }
    }
  }
}

// Adds a winner's gradient to an image, (height, width, channels).
void send_back(const ZoomedStage& stage, const Winner& winner, const float* kernel, float gradient,
               float* between, float* image) {
  const int side = stage.rows.side;
  for (int c = 0; c < stage.channels; c += LANES) {
    for (int y = 0; y < stage.rows.span; ++y) {
      for (int b = 0; b < side; ++b) {
        Vector sum = {};
        for (int a = 0; a < side; ++a) {
          sum += all(winner.rows[y * side + a]) *
                 load(kernel + (std::size_t(a) * side + b) * stage.channels + c);
        }
        store(between + b * LANES, all(gradient) * sum);
      }
      for (int x = 0; x < stage.columns.span; ++x) {
        const std::size_t pixel = std::size_t(winner.top + y) * stage.width + winner.left + x;
        float* to = image + pixel * stage.channels + c;
        Vector sum = load(to);
        for (int b = 0; b < side; ++b) {
          sum += all(winner.columns[x * side + b]) * load(between + b * LANES);
        }
        store(to, sum);
      }
    }
  }
}

// A first stage's share of the gradient, one image and one size at a time.
class FirstKernel {
 public:
  FirstKernel(const ZoomedStage& stage, const ZoomedSize* sizes, int count, int channels_in,
              int pixel_stride, int side)
      : stage_(stage), channels_in_(channels_in), pixel_stride_(pixel_stride), side_(side) {
    std::size_t answers = 0, pixels = 0;
    for (int size = 0; size < count; ++size) {
      const ZoomedSize& each = sizes[size];
      answers = std::max(answers, std::size_t(each.answer_rows) * each.answer_columns);
      pixels = std::max(pixels, std::size_t(each.answer_rows + side) * (each.answer_columns + side));
    }
    sent_ = buffer<float>(answers * stage.channels);
    plane_ = buffer<float>(pixels);
  }

  // Adds to the kernel, (channels in, side, side, channels), what an image's gradient, (height,
  // width, channels), sends to one size. `choice` is of all images, `number` that of the image.
  void add(const ZoomedSize& size, int chosen, int number, const float* gradient,
           const std::int32_t* choice, float* kernel) {
    if (!collect(size, chosen, number, gradient, choice)) return;
    const std::size_t weights = std::size_t(side_) * side_ * stage_.channels;
    for (int c = 0; c < channels_in_; ++c) {
      read_plane(size, number * channels_in_ + c);
      add_taps(size.answer_columns + side_ - 1, kernel + c * weights);
    }
  }

 private:
  struct Spot {
    int row, column;
    std::size_t sent;
  };

  // The gradient of each answer before it was resized, and which have any.
  bool collect(const ZoomedSize& size, int chosen, int number, const float* gradient,
               const std::int32_t* choice) {
    const int channels = stage_.channels, width = size.answer_columns;
    const std::size_t answers = std::size_t(size.answer_rows) * width;
    std::memset(sent_.get(), 0, sizeof(float) * answers * channels);
    marked_.assign(answers, 0);
    for (int i = size.rows.first; i < size.rows.last; ++i) {
      for (int j = size.columns.first; j < size.columns.last; ++j) {
        const std::size_t pixel = std::size_t(i) * stage_.width + j;
        for (int c = 0; c < channels; c += LANES) {
          const Mask won =
              load(choice + (pixel * stage_.images + number) * channels + c) == all(chosen);
          const Vector zero = {}, given = won ? load(gradient + pixel * channels + c) : zero;
          if (!any(given != zero)) continue;
          for (int y = 0; y < 2; ++y) {
            for (int x = 0; x < 2; ++x) {
              const std::size_t at = std::size_t(size.rows.from[2 * i + y]) * width +
                                     size.columns.from[2 * j + x];
              const float share = size.rows.shares[2 * i + y] * size.columns.shares[2 * j + x];
              if (share == 0) continue;
              float* to = sent_.get() + at * channels + c;
              store(to, load(to) + all(share) * given);
              marked_[at] = 1;
            }
          }
        }
      }
    }
    spots_.clear();
    for (std::size_t at = 0; at < answers; ++at) {
      if (marked_[at]) spots_.push_back({int(at / width), int(at % width), at * channels});
    }
    return !spots_.empty();
  }

  // One channel of one image, its pixels beside each other.
  void read_plane(const ZoomedSize& size, int lane) {
    const std::size_t pixels =
        std::size_t(size.answer_rows + side_ - 1) * (size.answer_columns + side_ - 1);
    for (std::size_t at = 0; at < pixels; ++at) {
      plane_[at] = size.pixels[at * pixel_stride_ + lane];
    }
  }

  void add_taps(int plane_width, float* kernel) const {
    for (int c = 0; c < stage_.channels; c += LANES) {
      for (int a = 0; a < side_; ++a) {
        in_blocks<WIDE>(0, side_, [&](auto size, int b) {
          constexpr int R = decltype(size)::value;
          float* to = kernel + (std::size_t(a) * side_ + b) * stage_.channels + c;
          Vector sums[R];
          for (int r = 0; r < R; ++r) sums[r] = load(to + r * stage_.channels);
          for (const Spot& spot : spots_) {
            const float* pixel =
                plane_.get() + std::size_t(spot.row + a) * plane_width + spot.column + b;
            const Vector given = load(sent_.get() + spot.sent + c);
            for (int r = 0; r < R; ++r) sums[r] += given * all(pixel[r]);
          }
          for (int r = 0; r < R; ++r) store(to + r * stage_.channels, sums[r]);
        });
      }
    }
  }

  const ZoomedStage stage_;
  const int channels_in_, pixel_stride_, side_;
  Buffer<float> sent_, plane_;
  std::vector<std::uint8_t> marked_;
  std::vector<Spot> spots_;
};

}  // namespace

// Values (images, outputs) at the winners, without bias, and what each tap sees there: (images,
// outputs, side, side, channels).
EXPORT int zoomed_answers(const ZoomedStage* stage, int threads, float* values, float* seen) {
  return guarded([&] {
    const int side = stage->rows.side;
    const std::size_t taps = std::size_t(side) * side * stage->channels;
    std::vector<Buffer<float>> desks;
    for (int number = 0; number < threads; ++number) {
      desks.push_back(buffer<float>(std::size_t(side) * LANES));
    }
    Team::run(threads, [&](const Member& member) {
      member.share(stage->images * stage->outputs, [&](int pair) {
        const float* kernel = stage->kernels + pair % stage->outputs * taps;
        float* here = seen + pair * taps;
        see(*stage, pair / stage->outputs, winner_of(*stage, pair), desks[member.number].get(), here);
        Vector total = {};
        for (std::size_t tap = 0; tap < taps; tap += LANES) {
          total += load(here + tap) * load(kernel + tap);
        }
        values[pair] = sum(total);
      });
    });
  });
}

// Gradients, zeros before, of the last stage's kernels as they are laid out and, for each image, of
// the first stage's kernels, (images, channels in, side, side, channels), and bias, (images,
// channels). What belongs to one image is summed by one thread.
EXPORT int zoomed_answers_backward(const ZoomedStage* stage, const ZoomedSize* sizes, int count,
                                   const std::int32_t* choice, int channels_in, int pixel_stride,
                                   int first_side, const float* seen, const float* gradients,
                                   int threads, float* last_gradient, float* first_gradients,
                                   float* biases) {
  return guarded([&] {
    const int side = stage->rows.side, channels = stage->channels;
    const std::size_t taps = std::size_t(side) * side * channels;
    const std::size_t area = std::size_t(stage->height) * stage->width;
    const std::size_t first_taps = std::size_t(channels_in) * first_side * first_side * channels;
    std::vector<FirstKernel> firsts;
    std::vector<Buffer<float>> images, desks;
    for (int number = 0; number < threads; ++number) {
      firsts.emplace_back(*stage, sizes, count, channels_in, pixel_stride, first_side);
      images.push_back(buffer<float>(area * channels));
      desks.push_back(buffer<float>(std::size_t(side) * LANES));
    }
    Team::run(threads, [&](const Member& member) {
      member.share(stage->outputs, [&](int output) {
        for (int image = 0; image < stage->images; ++image) {
          const int pair = image * stage->outputs + output;
          float* to = last_gradient + output * taps;
          for (std::size_t tap = 0; tap < taps; tap += LANES) {
            store(to + tap, load(to + tap) + all(gradients[pair]) * load(seen + pair * taps + tap));
          }
        }
      });
      float* gradient = images[member.number].get();
      member.share(stage->images, [&](int image) {
        std::memset(gradient, 0, sizeof(float) * area * channels);
        for (int output = 0; output < stage->outputs; ++output) {
          const int pair = image * stage->outputs + output;
          if (gradients[pair] == 0) continue;
          send_back(*stage, winner_of(*stage, pair), stage->kernels + output * taps,
                    gradients[pair], desks[member.number].get(), gradient);
        }
        float* bias = biases + image * channels;
        for (std::size_t pixel = 0; pixel < area; ++pixel) {
          const float* answer = stage->stack + (pixel * stage->images + image) * channels;
          for (int c = 0; c < channels; c += LANES) {
            float* at = gradient + pixel * channels + c;
            const Vector zero = {}, passed = load(answer + c) > zero ? load(at) : zero;
            store(at, passed);
            store(bias + c, load(bias + c) + passed);
          }
        }
        for (int size = 0; size < count; ++size) {
          firsts[member.number].add(sizes[size], size, image, gradient, choice,
                                    first_gradients + image * first_taps);
        }
      });
    });
  });
}
