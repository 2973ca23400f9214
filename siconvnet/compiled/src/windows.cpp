// The largest answers of a last stage, at the windows of its input that a search has found, and
// their gradients back to the kernels of the first stage.
//
// What lies between the stages is a stack (scale, row, column, image, channel) of ReLU'd answers,
// channels filled up to whole vectors. A window has `depth` scales and a square of pixels; pixels
// outside the stack are zeros.

#include <cstring>

#include "frequencies.h"
#include "problem.h"

extern "C" {

struct Stack {
  const float* answers;
  std::int32_t scales, height, width, images, channels;  // channels: filled
};

// The last stage: kernels (1 or scales, outputs, depth, side, side, channels), of which `margins`
// rows and columns at each side are zeros for each scale.
struct LastStage {
  const float* kernels;
  std::int32_t outputs, depth, side, one_kernel;
  const std::int32_t* margins;
};

// Where each window begins, zeros of its kernel included: (images, outputs) each.
struct Corners {
  const std::int32_t *scale, *row, *column;
};

// The first stage: planes (channels in, images, rows, width) of the images, so padded that the
// answer at (row, column) of scale s begins at (row, column) + offsets[s].
struct FirstStage {
  const float* planes;
  std::int32_t channels_in, rows, width;
  std::int32_t kernel_size;          // of what is learned
  std::int32_t longest;              // side of the largest kernel
  const std::int32_t *sides, *offsets;  // for each scale
  // How much of each learned tap is in each tap of each scale's kernel, (scales, longest,
  // kernel_size), and the same moved to each column of a window, (scales, longest + side of the
  // window, filled(kernel_size * side of the window)). Null: kernels are as they were learned.
  const float *taps, *moved_taps;
};

}  // extern "C"

namespace {

struct Window {
  int scale, row, column, first, last, side;  // of the kernel's rows and columns that are not zeros
};

Window window_at(const LastStage& stage, const Corners& corners, int pair) {
  const int scale = corners.scale[pair], margin = stage.margins[stage.one_kernel ? 0 : scale];
  return {scale, corners.row[pair], corners.column[pair], margin, stage.side - margin, stage.side};
}

// Calls body(d, p, q, pixel) for each pixel of a window that lies in the stack.
template <class Body>
void each_pixel(const Stack& stack, const LastStage& stage, const Window& window, int image,
                const Body& body) {
  for (int d = 0; d < stage.depth; ++d) {
    for (int p = window.first; p < window.last; ++p) {
      const int row = window.row + p;
      if (row < 0 || row >= stack.height) continue;
      for (int q = window.first; q < window.last; ++q) {
        const int column = window.column + q;
        if (column < 0 || column >= stack.width) continue;
        const std::size_t place =
            (std::size_t(window.scale + d) * stack.height + row) * stack.width + column;
        body(d, p, q, stack.answers + (place * stack.images + image) * stack.channels);
      }
    }
  }
}

// Whether no zeros are in a window, neither of the stack's surroundings nor of the kernel's.
bool whole(const Stack& stack, const Window& window) {
  return window.first == 0 && window.last == window.side && window.row >= 0 && window.column >= 0 &&
         window.row + window.side <= stack.height && window.column + window.side <= stack.width;
}

std::size_t window_pixels(const LastStage& stage) {
  return std::size_t(stage.depth) * stage.side * stage.side;
}

const float* kernel_of(const Stack& stack, const LastStage& stage, int scale, int output) {
  const std::size_t number = (stage.one_kernel ? 0 : scale) * std::size_t(stage.outputs) + output;
  return stage.kernels + number * window_pixels(stage) * stack.channels;
}

}  // namespace

// Values (images, outputs), and what each winner saw: (images, outputs, depth, side, side,
// channels).
EXPORT int window_answers(const Stack* stack, const LastStage* stage, const Corners* corners,
                          int threads, float* values, float* seen) {
  return guarded([&] {
    const std::size_t size = window_pixels(*stage) * stack->channels;
    Team::run(threads, [&](const Member& member) {
      member.share(stack->images * stage->outputs, [&](int pair) {
        const int image = pair / stage->outputs, output = pair % stage->outputs;
        const Window window = window_at(*stage, *corners, pair);
        const float* kernel = kernel_of(*stack, *stage, window.scale, output);
        if (!whole(*stack, window)) std::memset(seen + pair * size, 0, size * sizeof(float));
        Vector total = {};
        each_pixel(*stack, *stage, window, image, [&](int d, int p, int q, const float* pixel) {
          const std::size_t at =
              ((std::size_t(d) * stage->side + p) * stage->side + q) * stack->channels;
          for (int c = 0; c < stack->channels; c += LANES) {
            const Vector value = load(pixel + c);
            store(seen + pair * size + at + c, value);
            total += value * load(kernel + at + c);
          }
        });
        values[pair] = sum(total);
      });
    });
  });
}

namespace {

// One image's share of the first stage's gradient.
class SendingBack {
 public:
  SendingBack(const Stack& stack, const LastStage& last, const FirstStage& first)
      : stack_(stack),
        last_(last),
        first_(first),
        sent_(buffer<float>(window_pixels(last) * stack.channels)) {
    if (first.taps == nullptr) return;
    rows_ = last.side * first.kernel_size;
    view_length_ = filled(rows_);
    row_length_ = filled(first.longest + last.side);
    along_rows_ = buffer<float>(std::size_t(rows_) * row_length_);
    views_ = buffer<float>(std::size_t(rows_) * view_length_);
  }

  // Adds one winner's part to the kernels (scales or 1, channels in, k, k, channels) and the bias.
  void add(const Window& window, int image, const float* kernel, const float* seen, float gradient,
           float* kernels, float* bias) {
    const std::size_t size = window_pixels(last_) * stack_.channels;
    for (std::size_t at = 0; at < size; at += LANES) {
      const Vector sent = all(gradient) * load(kernel + at), zero = {};
      const Vector open = load(seen + at) > zero ? sent : zero;
      store(sent_.get() + at, open);
      float* to = bias + at % stack_.channels;
      store(to, load(to) + open);
    }
    const int k = first_.kernel_size;
    const std::size_t weights = std::size_t(k) * k * stack_.channels;
    for (int d = 0; d < last_.depth; ++d) {
      const int scale = window.scale + d;
      for (int c = 0; c < first_.channels_in; ++c) {
        const std::size_t plane =
            (std::size_t(c) * stack_.images + image) * first_.rows * first_.width;
        const float* corner = first_.planes + plane +
                              (window.row + first_.offsets[scale]) * std::ptrdiff_t(first_.width) +
                              window.column + first_.offsets[scale];
        const float* sent = sent_.get() + std::size_t(d) * last_.side * last_.side * stack_.channels;
        if (first_.taps == nullptr) {
          float* to = kernels + (std::size_t(scale) * first_.channels_in + c) * weights;
          const int margin = (k - first_.sides[scale]) / 2;
          add_taps(window, sent, corner, first_.width, 1, first_.width, 1, margin, k - margin, to);
        } else {
          view(scale, corner);
          add_taps(window, sent, views_.get(), view_length_, 1,
                   std::ptrdiff_t(last_.side) * view_length_, last_.side, 0, k,
                   kernels + c * weights);
        }
      }
    }
  }

 private:
  // What each learned tap sees from each pixel of the window: ((a, p), (b, q)).
  void view(int scale, const float* corner) {
    const int side = first_.sides[scale], k = first_.kernel_size, length = side + last_.side;
    const float* taps = first_.taps + std::size_t(scale) * first_.longest * k;
    for (int a = 0; a < k; ++a) {
      in_blocks<WIDE>(0, last_.side, [&](auto size, int p) {
        constexpr int R = decltype(size)::value;
        float* to = along_rows_.get() + std::size_t(a * last_.side + p) * row_length_;
        for (int x = 0; x < length; x += LANES) {
          Vector sums[R] = {};
          const float* pixel = corner + std::ptrdiff_t(p) * first_.width + x;
          for (int y = 0; y < side; ++y, pixel += first_.width) {
            const Vector tap = all(taps[y * k + a]);
            for (int r = 0; r < R; ++r) sums[r] += tap * load(pixel + r * first_.width);
          }
          for (int r = 0; r < R; ++r) store(to + r * row_length_ + x, sums[r]);
        }
      });
    }
    const float* moved =
        first_.moved_taps + std::size_t(scale) * (first_.longest + last_.side) * view_length_;
    in_blocks<NARROW>(0, rows_, [&](auto rows, int row) {
      in_blocks<4>(0, view_length_ / LANES, [&](auto vectors, int z) {
        constexpr int R = decltype(rows)::value, Z = decltype(vectors)::value;
        Vector sums[R * Z] = {};
        const float* line = along_rows_.get() + std::size_t(row) * row_length_;
        for (int x = 0; x < length - 1; ++x) {
          const float* tap = moved + std::size_t(x) * view_length_ + z * LANES;
          for (int r = 0; r < R; ++r) {
            const Vector pixel = all(line[r * row_length_ + x]);
            for (int s = 0; s < Z; ++s) sums[r * Z + s] += pixel * load(tap + s * LANES);
          }
        }
        for (int r = 0; r < R; ++r) {
          float* to = views_.get() + std::size_t(row + r) * view_length_ + z * LANES;
          for (int s = 0; s < Z; ++s) store(to + s * LANES, sums[r * Z + s]);
        }
      });
    });
  }

  // to[a, b] += sum over p, q of sent[p, q] * from[p * row + q * column + a * tap_row + b * tap].
  void add_taps(const Window& window, const float* sent, const float* from, std::ptrdiff_t row,
                std::ptrdiff_t column, std::ptrdiff_t tap_row, std::ptrdiff_t tap, int begin,
                int end, float* to) const {
    for (int c = 0; c < stack_.channels; c += LANES) {
      for (int a = begin; a < end; ++a) {
        for (int b = begin; b < end; b += WIDE) {
          in_one_block<WIDE>(std::min(WIDE, end - b), [&](auto size) {
            constexpr int R = decltype(size)::value;
            float* here = to + (a * first_.kernel_size + b) * stack_.channels + c;
            Vector sums[R];
            for (int r = 0; r < R; ++r) sums[r] = load(here + r * stack_.channels);
            for (int p = window.first; p < window.last; ++p) {
              const float* line = from + p * row + (a - begin) * tap_row + (b - begin) * tap;
              const float* gradient = sent + std::size_t(p * last_.side) * stack_.channels + c;
              for (int q = window.first; q < window.last; ++q) {
                const Vector g = load(gradient + q * stack_.channels);
                for (int r = 0; r < R; ++r) sums[r] += g * all(line[q * column + r * tap]);
              }
            }
            for (int r = 0; r < R; ++r) store(here + r * stack_.channels, sums[r]);
          });
        }
      }
    }
  }

  const Stack stack_;
  const LastStage last_;
  const FirstStage first_;
  int rows_ = 0, row_length_ = 0, view_length_ = 0;
  Buffer<float> sent_, along_rows_, views_;
};

}  // namespace

// Gradients of both stages' kernels, zeros before: of the last one's as they are laid out, and for
// each image those of the first's, (images, scales or 1, channels in, k, k, channels), and of its
// bias, (images, channels). What belongs to one image is summed by one thread.
EXPORT int window_answers_backward(const Stack* stack, const LastStage* last,
                                   const FirstStage* first, const Corners* corners,
                                   const float* seen, const float* gradients, int threads,
                                   float* last_gradient, float* first_gradients, float* biases) {
  return guarded([&] {
    const std::size_t size = window_pixels(*last) * stack->channels;
    const std::size_t kernels = (first->taps == nullptr ? stack->scales : 1) *
                                std::size_t(first->channels_in) * first->kernel_size *
                                first->kernel_size * stack->channels;
    std::vector<SendingBack> senders;
    for (int number = 0; number < threads; ++number) senders.emplace_back(*stack, *last, *first);
    Team::run(threads, [&](const Member& member) {
      member.share(last->outputs, [&](int output) {
        for (int image = 0; image < stack->images; ++image) {
          const int pair = image * last->outputs + output;
          if (gradients[pair] == 0) continue;
          float* to = last_gradient + (kernel_of(*stack, *last, corners->scale[pair], output) -
                                       last->kernels);
          for (std::size_t at = 0; at < size; at += LANES) {
            store(to + at, load(to + at) + all(gradients[pair]) * load(seen + pair * size + at));
          }
        }
      });
      member.share(stack->images, [&](int image) {
        for (int output = 0; output < last->outputs; ++output) {
          const int pair = image * last->outputs + output;
          if (gradients[pair] == 0) continue;
          const Window window = window_at(*last, *corners, pair);
          senders[member.number].add(window, image,
                                     kernel_of(*stack, *last, window.scale, output),
                                     seen + pair * size, gradients[pair],
                                     first_gradients + image * kernels,
                                     biases + image * stack->channels);
        }
      });
    });
  });
}
