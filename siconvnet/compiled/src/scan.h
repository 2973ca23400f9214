// All answers of a convolution with small kernels, by way of the frequency domain.
//
// Images are (row, column, lane), a lane being an image and a channel; answers have a lane for each
// image and each channel out. Answers of a block of LANES lanes are finished together.
#pragma once

#include "frequencies.h"
#include "team.h"

namespace {

class Scan {
 public:
  Scan(const Images& images, const Axis& rows, const Axis& columns, int outputs)
      : images_(images),
        rows_(rows),
        columns_(columns),
        lanes_(filled(images.count * images.channel_stride)),
        outputs_(outputs),
        answer_lanes_(images.count * outputs),
        columns_done_(buffer<float>(std::size_t(columns.frequencies) * rows.pixels * 2 * lanes_)),
        spectrum_(buffer<float>(std::size_t(columns.frequencies) * rows.frequencies * 4 * lanes_)) {
  }

  int blocks() const { return answer_lanes_ / LANES; }

  // Memory for the half-finished answers of scales with at most so many rows of answers.
  void make_room(int answer_rows) {
    most_rows_ = answer_rows;
    lines_ = buffer<float>(std::size_t(answer_rows) * answer_lanes_ * columns_.frequencies * 2);
  }

  // What each member needs for itself.
  struct Desk {
    Buffer<float> pairs, half_kernel, kernel, products;
  };

  Desk desk() const {
    const std::size_t weights = std::size_t(images_.channels) * outputs_;
    return {buffer<float>(std::size_t(4) * half(std::max(rows_.pixels, columns_.pixels)) * LANES),
            buffer<float>((rows_.even + rows_.odd) * 2 * weights), buffer<float>(4 * weights),
            buffer<float>(std::size_t(rows_.frequencies) * 4 * answer_lanes_)};
  }

  // Every member calls this once; afterwards the images' spectrum is there.
  void analyse(const Member& member, Desk& desk) {
    member.share(rows_.pixels, [&](int row) { analyse_row(row, desk.pairs.get()); });
    member.wait();
    member.share(columns_.frequencies, [&](int v) { analyse_columns(v, desk.pairs.get()); });
    member.wait();
  }

  // Every member calls this; afterwards the lines of one scale are there, rows already answers.
  // taps: folded, (row taps, column taps, channels, outputs). wanted says which blocks count.
  template <class Wanted>
  void multiply_all(const Member& member, const Axis& rows, const Axis& columns, const float* taps,
                    Desk& desk, const Wanted& wanted) {
    const int weights = images_.channels * outputs_;
    const std::size_t stride = std::size_t(rows_.frequencies) * 4 * LANES;
    member.share(columns_.frequencies, [&](int v) {
      for (int a = 0; a < rows.even + rows.odd; ++a) {
        float* to = desk.half_kernel.get() + std::size_t(a) * 2 * weights;
        const float* row = taps + std::size_t(a) * (columns.even + columns.odd) * weights;
        taps_to_frequency(columns, v, row, weights, weights, to, to + weights);
      }
      for (int u = 0; u < rows_.frequencies; ++u) {
        kernel_at(rows, u, desk.half_kernel.get(), weights, desk.kernel.get());
        multiply(images_, outputs_, spectrum_at(u, v), lanes_, desk.kernel.get(),
                 desk.products.get() + u * 4 * LANES, stride);
      }
      for (int block = 0; block < blocks(); ++block) {
        if (!wanted(block)) continue;
        const float* products = desk.products.get() + block * stride;
        to_rows(rows, products, [&](int i, Vector real, Vector imaginary) {
          float* to = line_of(block, i) + v * 2 * LANES;
          store(to, real);
          store(to + LANES, imaginary);
        });
      }
    });
    member.wait();
  }

  // Calls keep(j, answer) for all answers of one block of lanes and one row of one scale.
  template <class Keep>
  void answer_row(const Axis& columns, int block, int i, const Keep& keep) const {
    to_answers(columns, line_of(block, i), keep);
  }

 private:
  float* line_of(int block, int i) const {
    return lines_.get() + (std::size_t(block) * most_rows_ + i) * columns_.frequencies * 2 * LANES;
  }

  float* column_done(int v, int row) const {
    return columns_done_.get() + (std::size_t(v) * rows_.pixels + row) * 2 * lanes_;
  }

  float* spectrum_at(int u, int v) const {
    return spectrum_.get() + (std::size_t(v) * rows_.frequencies + u) * 4 * lanes_;
  }

  // One row of pixels to the frequencies along it.
  void analyse_row(int row, float* pairs) {
    float *even = pairs, *odd = pairs + half(columns_.pixels) * LANES;
    for (int lane = 0; lane < lanes_; lane += LANES) {
      const float* line = images_.pixels + row * images_.row_stride + lane;
      fold(columns_.pixels, even, odd, [&](int x) { return load(line + x * images_.pixel_stride); });
      to_frequencies(columns_, even, odd, [&](int v, Vector real, Vector imaginary) {
        store(column_done(v, row) + lane, real);
        store(column_done(v, row) + lanes_ + lane, imaginary);
      });
    }
  }

  // One frequency along the rows to all frequencies along the columns, u and -u beside each other.
  void analyse_columns(int v, float* pairs) {
    for (int lane = 0; lane < lanes_; lane += LANES) {
      fold_complex(rows_.pixels, pairs, [&](int row) { return column_done(v, row) + lane; }, lanes_);
      to_signed_frequencies(
          rows_, pairs, [&](int u, Vector real, Vector imaginary, Vector m_real, Vector m_imaginary) {
            float* to = spectrum_at(u, v) + lane;
            store(to, real);
            store(to + lanes_, imaginary);
            store(to + 2 * lanes_, m_real);
            store(to + 3 * lanes_, m_imaginary);
          });
    }
  }

  const Images images_;
  const Axis rows_, columns_;
  const int lanes_, outputs_, answer_lanes_;
  int most_rows_ = 0;
  Buffer<float> columns_done_, spectrum_, lines_;
};

}  // namespace
