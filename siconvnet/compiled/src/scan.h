// All answers of a convolution with small kernels, by way of the frequency domain.
//
// Along an axis of `pixels`, frequency u of a period that no answer wraps around in stands for
// exp(i w u (x - middle)). Pixels, kernels and answers are all counted from their middles, so that
// the pixels x and pixels-1-x, the frequencies u and -u, and the answers i and answers-1-i share
// their products. A kernel's part at u is a product of a fixed matrix with its few learned taps,
// even ones for the cosine and odd ones for the sine, whatever size it has been enlarged to.
//
// Images are (row, column, lane), a lane being an image and a channel; answers have a lane for each
// image and each channel out. Answers of a block of LANES lanes are finished together.
#pragma once

#include <algorithm>

#include "team.h"
#include "vector.h"

extern "C" {

// What one scale needs to know along one axis; see siconvnet/compiled/tables.py.
struct Axis {
  std::int32_t pixels, answers, frequencies, even, odd;
  const float* analysis_cosine;   // (frequencies, half of the pixels)
  const float* analysis_sine;     // likewise
  const float* even_taps;         // (frequencies, even): the cosine part of each folded tap
  const float* odd_taps;          // (frequencies, odd)
  const float* synthesis_cosine;  // (half of the answers, frequencies)
  const float* synthesis_sine;    // likewise
};

struct Images {
  const float* pixels;
  std::int64_t row_stride, pixel_stride;  // in numbers; a pixel has filled(count * channel_stride)
  std::int32_t count, channels, channel_stride;
};

}  // extern "C"

namespace {

inline int half(int count) { return (count + 1) / 2; }

class Scan {
 public:
  Scan(const Images& images, const Axis& rows, const Axis& columns, int outputs)
      : images_(images),
        rows_(rows),
        columns_(columns),
        lanes_(filled(images.count * images.channel_stride)),
        outputs_(outputs),
        answer_lanes_(images.count * outputs),
        row_frequencies_(rows.frequencies),
        column_frequencies_(columns.frequencies),
        columns_done_(buffer<float>(std::size_t(columns.frequencies) * rows.pixels * 2 * lanes_)),
        spectrum_(buffer<float>(std::size_t(columns.frequencies) * rows.frequencies * 4 * lanes_)) {
  }

  int blocks() const { return answer_lanes_ / LANES; }
  int answer_lanes() const { return answer_lanes_; }

  // Memory for the half-finished answers of scales with at most so many rows of answers.
  void make_room(int answer_rows) {
    most_rows_ = answer_rows;
    lines_ = buffer<float>(std::size_t(answer_rows) * answer_lanes_ * column_frequencies_ * 2);
  }

  // What each member needs for itself.
  struct Desk {
    Buffer<float> pairs, half_kernel, kernel, products;
  };

  Desk desk() const {
    const std::size_t weights = std::size_t(images_.channels) * outputs_;
    return {buffer<float>(std::size_t(4) * half(std::max(rows_.pixels, columns_.pixels)) * LANES),
            buffer<float>((rows_.even + rows_.odd) * 2 * weights), buffer<float>(4 * weights),
            buffer<float>(std::size_t(row_frequencies_) * 4 * answer_lanes_)};
  }

  // Every member calls this once; afterwards the images' spectrum is there.
  void analyse(const Member& member, Desk& desk) {
    member.share(rows_.pixels, [&](int row) { analyse_row(row, desk.pairs.get()); });
    member.wait();
    member.share(column_frequencies_, [&](int v) { analyse_columns(v, desk.pairs.get()); });
    member.wait();
  }

  // Every member calls this; afterwards the lines of one scale are there, rows already answers.
  // taps: folded, (row taps, column taps, channels, outputs). wanted says which blocks count.
  template <class Wanted>
  void multiply(const Member& member, const Axis& rows, const Axis& columns, const float* taps,
                Desk& desk, const Wanted& wanted) {
    member.share(column_frequencies_, [&](int v) {
      half_kernels(rows, columns, taps, v, desk.half_kernel.get());
      const float* seen = spectrum_.get() + std::size_t(v) * row_frequencies_ * 4 * lanes_;
      for (int u = 0; u < row_frequencies_; ++u) {
        kernel_at(rows, u, desk.half_kernel.get(), desk.kernel.get());
        multiply_at(u, seen + std::size_t(u) * 4 * lanes_, desk.kernel.get(), desk.products.get());
      }
      for (int block = 0; block < blocks(); ++block) {
        if (wanted(block)) answer_rows(rows, v, block, desk.products.get());
      }
    });
    member.wait();
  }

  // Calls keep(i, j, answer) for all answers of one block of lanes and one row of one scale.
  template <class Keep>
  void answer_row(const Axis& columns, int block, int i, const Keep& keep) const {
    const float* line = line_of(block, i);
    const int frequencies = column_frequencies_, last = columns.answers - 1;
    in_blocks<WIDE>(0, half(columns.answers), [&](auto size, int first) {
      constexpr int R = decltype(size)::value;
      Vector even[R] = {}, odd[R] = {};
      const float* cosine = columns.synthesis_cosine + std::size_t(first) * frequencies;
      const float* sine = columns.synthesis_sine + std::size_t(first) * frequencies;
      for (int v = 0; v < frequencies; ++v) {
        const Vector real = load(line + v * 2 * LANES), imaginary = load(line + (v * 2 + 1) * LANES);
        for (int r = 0; r < R; ++r) {
          even[r] += all(cosine[r * frequencies + v]) * real;
          odd[r] += all(sine[r * frequencies + v]) * imaginary;
        }
      }
      for (int r = 0; r < R; ++r) {
        keep(first + r, even[r] - odd[r]);
        if (first + r < last - first - r) keep(last - first - r, even[r] + odd[r]);
      }
    });
  }

 private:
  float* line_of(int block, int i) const {
    return lines_.get() + (std::size_t(block) * most_rows_ + i) * column_frequencies_ * 2 * LANES;
  }

  // One row of pixels to the frequencies along it.
  void analyse_row(int row, float* pairs) {
    const int pixels = columns_.pixels, halves = half(pixels);
    float *even = pairs, *odd = pairs + halves * LANES;
    for (int lane = 0; lane < lanes_; lane += LANES) {
      const float* line = images_.pixels + row * images_.row_stride + lane;
      for (int r = 0; r < halves; ++r) {
        const Vector after = load(line + (pixels / 2 + r) * images_.pixel_stride);
        const Vector before = load(line + ((pixels - 1) / 2 - r) * images_.pixel_stride);
        store(even + r * LANES, after + before);
        store(odd + r * LANES, before - after);
      }
      in_blocks<WIDE>(0, column_frequencies_, [&](auto size, int first) {
        constexpr int R = decltype(size)::value;
        Vector real[R] = {}, imaginary[R] = {};
        const float* cosine = columns_.analysis_cosine + std::size_t(first) * halves;
        const float* sine = columns_.analysis_sine + std::size_t(first) * halves;
        for (int r = 0; r < halves; ++r) {
          const Vector e = load(even + r * LANES), o = load(odd + r * LANES);
          for (int z = 0; z < R; ++z) {
            real[z] += all(cosine[z * halves + r]) * e;
            imaginary[z] += all(sine[z * halves + r]) * o;
          }
        }
        for (int z = 0; z < R; ++z) {
          float* to = column_done(first + z, row) + lane;
          store(to, real[z]);
          store(to + lanes_, imaginary[z]);
        }
      });
    }
  }

  float* column_done(int v, int row) const {
    return columns_done_.get() + (std::size_t(v) * rows_.pixels + row) * 2 * lanes_;
  }

  // One frequency along the rows to all frequencies along the columns, u and -u beside each other.
  void analyse_columns(int v, float* pairs) {
    const int pixels = rows_.pixels, halves = half(pixels);
    for (int lane = 0; lane < lanes_; lane += LANES) {
      for (int r = 0; r < halves; ++r) {
        const float* after = column_done(v, pixels / 2 + r) + lane;
        const float* before = column_done(v, (pixels - 1) / 2 - r) + lane;
        float* to = pairs + r * 4 * LANES;
        store(to, load(after) + load(before));
        store(to + LANES, load(after + lanes_) + load(before + lanes_));
        store(to + 2 * LANES, load(after) - load(before));
        store(to + 3 * LANES, load(after + lanes_) - load(before + lanes_));
      }
      in_blocks<MIDDLE>(0, row_frequencies_, [&](auto size, int first) {
        constexpr int R = decltype(size)::value;
        Vector real[R] = {}, imaginary[R] = {}, odd_real[R] = {}, odd_imaginary[R] = {};
        const float* cosine = rows_.analysis_cosine + std::size_t(first) * halves;
        const float* sine = rows_.analysis_sine + std::size_t(first) * halves;
        for (int r = 0; r < halves; ++r) {
          const float* pair = pairs + r * 4 * LANES;
          for (int z = 0; z < R; ++z) {
            const Vector c = all(cosine[z * halves + r]), s = all(sine[z * halves + r]);
            real[z] += c * load(pair);
            imaginary[z] += c * load(pair + LANES);
            odd_real[z] += s * load(pair + 2 * LANES);
            odd_imaginary[z] += s * load(pair + 3 * LANES);
          }
        }
        for (int z = 0; z < R; ++z) {
          const std::size_t u = std::size_t(v) * row_frequencies_ + first + z;
          float* to = spectrum_.get() + u * 4 * lanes_ + lane;
          store(to, real[z] + odd_imaginary[z]);
          store(to + lanes_, imaginary[z] - odd_real[z]);
          store(to + 2 * lanes_, real[z] - odd_imaginary[z]);
          store(to + 3 * lanes_, imaginary[z] + odd_real[z]);
        }
      });
    }
  }

  // The kernels with their columns in the frequency domain: (row taps, 2, channels outputs).
  void half_kernels(const Axis& rows, const Axis& columns, const float* taps, int v,
                    float* half_kernel) const {
    const int weights = images_.channels * outputs_, even = columns.even, odd = columns.odd;
    const float* cosine = columns.even_taps + std::size_t(v) * even;
    const float* sine = columns.odd_taps + std::size_t(v) * odd;
    for (int a = 0; a < rows.even + rows.odd; ++a) {
      const float* row = taps + std::size_t(a) * (even + odd) * weights;
      float* to = half_kernel + std::size_t(a) * 2 * weights;
      for (int w = 0; w < weights; w += LANES) {
        Vector real = {}, imaginary = {};
        for (int b = 0; b < even; ++b) real += all(cosine[b]) * load(row + b * weights + w);
        for (int b = 0; b < odd; ++b) imaginary += all(sine[b]) * load(row + (even + b) * weights + w);
        store(to + w, real);
        store(to + weights + w, imaginary);
      }
    }
  }

  // The kernels at the frequencies (u, v) and (-u, v): (4, channels outputs).
  void kernel_at(const Axis& rows, int u, const float* half_kernel, float* kernel) const {
    const int weights = images_.channels * outputs_;
    const float* cosine = rows.even_taps + std::size_t(u) * rows.even;
    const float* sine = rows.odd_taps + std::size_t(u) * rows.odd;
    for (int w = 0; w < weights; w += LANES) {
      Vector real = {}, imaginary = {}, odd_real = {}, odd_imaginary = {};
      const float* tap = half_kernel + w;
      for (int a = 0; a < rows.even; ++a, tap += 2 * weights) {
        real += all(cosine[a]) * load(tap);
        imaginary += all(cosine[a]) * load(tap + weights);
      }
      for (int a = 0; a < rows.odd; ++a, tap += 2 * weights) {
        odd_real += all(sine[a]) * load(tap);
        odd_imaginary += all(sine[a]) * load(tap + weights);
      }
      store(kernel + w, real - odd_imaginary);
      store(kernel + weights + w, imaginary + odd_real);
      store(kernel + 2 * weights + w, real + odd_imaginary);
      store(kernel + 3 * weights + w, imaginary - odd_real);
    }
  }

  // Sums and differences of the answers at (u, v) and (-u, v), each (block, u, 4, LANES).
  void multiply_at(int u, const float* seen, const float* kernel, float* products) const {
    in_blocks<IMAGES>(0, images_.count, [&](auto size, int first) {
      constexpr int R = decltype(size)::value;
      const int weights = images_.channels * outputs_;
      for (int output = 0; output < outputs_; output += LANES) {
        Vector real[R] = {}, imaginary[R] = {}, mirror_real[R] = {}, mirror_imaginary[R] = {};
        for (int c = 0; c < images_.channels; ++c) {
          const float* weight = kernel + c * outputs_ + output;
          const Vector w_real = load(weight), w_imaginary = load(weight + weights);
          const Vector m_real = load(weight + 2 * weights), m_imaginary = load(weight + 3 * weights);
          for (int r = 0; r < R; ++r) {
            const float* x = seen + (first + r) * images_.channel_stride + c;
            const Vector x_real = all(x[0]), x_imaginary = all(x[lanes_]);
            real[r] += x_real * w_real;
            real[r] -= x_imaginary * w_imaginary;
            imaginary[r] += x_imaginary * w_real;
            imaginary[r] += x_real * w_imaginary;
            const Vector y_real = all(x[2 * lanes_]), y_imaginary = all(x[3 * lanes_]);
            mirror_real[r] += y_real * m_real;
            mirror_real[r] -= y_imaginary * m_imaginary;
            mirror_imaginary[r] += y_imaginary * m_real;
            mirror_imaginary[r] += y_real * m_imaginary;
          }
        }
        for (int r = 0; r < R; ++r) {
          const int block = ((first + r) * outputs_ + output) / LANES;
          float* to = products + (std::size_t(block) * row_frequencies_ + u) * 4 * LANES;
          store(to, real[r] + mirror_real[r]);
          store(to + LANES, imaginary[r] + mirror_imaginary[r]);
          store(to + 2 * LANES, real[r] - mirror_real[r]);
          store(to + 3 * LANES, imaginary[r] - mirror_imaginary[r]);
        }
      }
    });
  }

  // From the frequencies along the columns to rows of answers: (block, i, v, 2, LANES).
  void answer_rows(const Axis& rows, int v, int block, const float* products) {
    const int frequencies = row_frequencies_, last = rows.answers - 1;
    const float* product = products + std::size_t(block) * frequencies * 4 * LANES;
    in_blocks<MIDDLE>(0, half(rows.answers), [&](auto size, int first) {
      constexpr int R = decltype(size)::value;
      Vector real[R] = {}, imaginary[R] = {}, odd_real[R] = {}, odd_imaginary[R] = {};
      const float* cosine = rows.synthesis_cosine + std::size_t(first) * frequencies;
      const float* sine = rows.synthesis_sine + std::size_t(first) * frequencies;
      for (int u = 0; u < frequencies; ++u) {
        const float* at = product + u * 4 * LANES;
        const Vector sum_real = load(at), sum_imaginary = load(at + LANES);
        const Vector difference_real = load(at + 2 * LANES), difference_imaginary = load(at + 3 * LANES);
        for (int r = 0; r < R; ++r) {
          const Vector c = all(cosine[r * frequencies + u]), s = all(sine[r * frequencies + u]);
          real[r] += c * sum_real;
          odd_real[r] += s * difference_imaginary;
          imaginary[r] += c * sum_imaginary;
          odd_imaginary[r] += s * difference_real;
        }
      }
      for (int r = 0; r < R; ++r) {
        float* before = line_of(block, first + r) + v * 2 * LANES;
        float* after = line_of(block, last - first - r) + v * 2 * LANES;
        store(before, real[r] - odd_real[r]);
        store(before + LANES, imaginary[r] + odd_imaginary[r]);
        store(after, real[r] + odd_real[r]);
        store(after + LANES, imaginary[r] - odd_imaginary[r]);
      }
    });
  }

  const Images images_;
  const Axis rows_, columns_;
  const int lanes_, outputs_, answer_lanes_, row_frequencies_, column_frequencies_;
  int most_rows_ = 0;
  Buffer<float> columns_done_, spectrum_, lines_;
};

}  // namespace
