// The largest answers of a convolution over (scale, row, column), searched in the frequency domain.
//
// Scales are taken in overlapping groups of a few. The scales of a group, which are real numbers,
// become a cosine and a sine plane for each frequency k from 0 on; what they hold at k is cosine + i
// sine, at -k cosine - i sine. Outside `crop` rows and columns at each side all scales of a group are zeros.

#include "frequencies.h"
#include "peaks.h"
#include "problem.h"

extern "C" {

struct Group {
  std::int32_t first_scale, crop;
  std::int32_t first_row, first_column;  // of the answers that see anything but zeros
  Axis scales, rows, columns;
};

struct Volume {
  Images images;                 // of the first scale
  std::int64_t scale_stride;     // between scales, in numbers
  std::int32_t outputs, threads;
  std::int32_t answer_rows;      // of each scale's answer, those that see only zeros included
  std::int32_t groups;
  const Group* group;
  const float* taps;  // folded, (scale taps, row taps, column taps, channels, outputs)
};

}  // extern "C"

namespace {

// A group of scales at work.
class GroupSearch {
 public:
  GroupSearch(const Volume& volume, const Group& group)
      : volume_(volume),
        group_(group),
        lanes_(volume.images.count * volume.images.channel_stride),
        answer_lanes_(volume.images.count * volume.outputs),
        weights_(volume.images.channels * volume.outputs),
        planes_(group.scales.frequencies * 2),
        columns_done_(buffer<float>(std::size_t(group.columns.frequencies) * planes_ *
                                    group.rows.pixels * 2 * lanes_)),
        lines_(buffer<float>(std::size_t(group.scales.answers) * group.rows.answers *
                             answer_lanes_ * group.columns.frequencies * 2)) {}

  struct Desk {
    Buffer<float> parts, pairs, spectrum, seen, half_kernel, kernel_parts, kernel, products, sums,
        row;
  };

  Desk desk() const {
    const Axis &scales = group_.scales, &rows = group_.rows, &columns = group_.columns;
    const int taps = (scales.even + scales.odd) * (rows.even + rows.odd);
    const int sides = std::max({scales.pixels, rows.pixels, columns.pixels});
    const int signs = 2 * scales.frequencies;
    return {buffer<float>(std::size_t(planes_) * columns.pixels * LANES),
            buffer<float>(std::size_t(4) * (half(sides) + 1) * LANES),
            buffer<float>(std::size_t(planes_) * rows.frequencies * 4 * lanes_),
            buffer<float>(std::size_t(4) * lanes_),
            buffer<float>(std::size_t(taps) * 2 * weights_),
            buffer<float>(std::size_t(signs) * (rows.even + rows.odd) * 2 * weights_),
            buffer<float>(std::size_t(4) * weights_),
            buffer<float>(std::size_t(signs) * 4 * answer_lanes_),
            buffer<float>(std::size_t(scales.answers) * rows.frequencies * 4 * answer_lanes_),
            buffer<float>(std::size_t(columns.answers) * LANES)};
  }

  void search(const Member& member, Desk& desk, const Peaks& peaks) {
    member.share(group_.rows.pixels, [&](int row) { analyse_row(row, desk); });
    member.wait();
    member.share(group_.columns.frequencies, [&](int v) {
      analyse_columns(v, desk);
      kernels_at(v, desk);
      for (int u = 0; u < group_.rows.frequencies; ++u) {
        multiply_scales(u, desk);
        sum_scales(u, desk);
      }
      finish_rows(v, desk);
    });
    member.wait();
    member.share(group_.scales.answers * group_.rows.answers, [&](int line) {
      const int scale = line / group_.rows.answers, i = line % group_.rows.answers;
      const std::size_t row = std::size_t(group_.first_scale + scale) * volume_.answer_rows +
                              group_.first_row + i;
      for (int block = 0; block < answer_lanes_ / LANES; ++block) {
        to_answers(group_.columns, line_of(scale, block, i), [&](int j, Vector answer) {
          store(desk.row.get() + j * LANES, answer);
        });
        keep_peak(desk.row.get(), group_.columns.answers, group_.first_column, peaks,
                  row * answer_lanes_ + block * LANES);
      }
    });
    member.wait();
  }

 private:
  bool has_mirror(int k) const { return k > 0 && 2 * k != group_.scales.pixels; }

  float* column_done(int v, int plane, int row) const {
    return columns_done_.get() +
           ((std::size_t(v) * planes_ + plane) * group_.rows.pixels + row) * 2 * lanes_;
  }

  float* line_of(int scale, int block, int i) const {
    const std::size_t line =
        (std::size_t(scale) * (answer_lanes_ / LANES) + block) * group_.rows.answers + i;
    return lines_.get() + line * group_.columns.frequencies * 2 * LANES;
  }

  // One row of all scales to its parts along the scales and the frequencies along the row.
  void analyse_row(int row, Desk& desk) {
    const Axis &scales = group_.scales, &columns = group_.columns;
    const Images& images = volume_.images;
    float *even = desk.pairs.get(), *odd = even + 2 * half(std::max(scales.pixels, columns.pixels)) * LANES;
    for (int lane = 0; lane < lanes_; lane += LANES) {
      const float* first = images.pixels + group_.first_scale * volume_.scale_stride +
                           (row + group_.crop) * images.row_stride +
                           group_.crop * images.pixel_stride + lane;
      for (int x = 0; x < columns.pixels; ++x) {
        fold(scales.pixels, even, odd, [&](int scale) {
          return load(first + scale * volume_.scale_stride + x * images.pixel_stride);
        });
        to_frequencies(scales, even, odd, [&](int k, Vector cosine, Vector sine) {
          store(desk.parts.get() + (std::size_t(2 * k) * columns.pixels + x) * LANES, cosine);
          store(desk.parts.get() + (std::size_t(2 * k + 1) * columns.pixels + x) * LANES, sine);
        });
      }
      for (int plane = 0; plane < planes_; ++plane) {
        const float* part = desk.parts.get() + std::size_t(plane) * columns.pixels * LANES;
        fold(columns.pixels, even, odd, [&](int x) { return load(part + x * LANES); });
        to_frequencies(columns, even, odd, [&](int v, Vector real, Vector imaginary) {
          store(column_done(v, plane, row) + lane, real);
          store(column_done(v, plane, row) + lanes_ + lane, imaginary);
        });
      }
    }
  }

  void analyse_columns(int v, Desk& desk) {
    const Axis& rows = group_.rows;
    for (int plane = 0; plane < planes_; ++plane) {
      float* spectrum = desk.spectrum.get() + std::size_t(plane) * rows.frequencies * 4 * lanes_;
      for (int lane = 0; lane < lanes_; lane += LANES) {
        fold_complex(rows.pixels, desk.pairs.get(),
                     [&](int row) { return column_done(v, plane, row) + lane; }, lanes_);
        to_signed_frequencies(rows, desk.pairs.get(),
                              [&](int u, Vector real, Vector imaginary, Vector m_real,
                                  Vector m_imaginary) {
                                float* to = spectrum + u * 4 * lanes_ + lane;
                                store(to, real);
                                store(to + lanes_, imaginary);
                                store(to + 2 * lanes_, m_real);
                                store(to + 3 * lanes_, m_imaginary);
                              });
      }
    }
  }

  // The kernels at v and all frequencies k and -k along the scales: (2 k + sign, row taps, 2,
  // weights). Along the scales a kernel is E + i O, as along the other axes.
  void kernels_at(int v, Desk& desk) {
    const Axis &scales = group_.scales, &rows = group_.rows, &columns = group_.columns;
    const int row_taps = rows.even + rows.odd, scale_taps = scales.even + scales.odd;
    const std::size_t one = std::size_t(2) * weights_, stride = row_taps * one;
    for (int tap = 0; tap < scale_taps * row_taps; ++tap) {
      float* to = desk.half_kernel.get() + tap * one;
      const float* row =
          volume_.taps + std::size_t(tap) * (columns.even + columns.odd) * weights_;
      taps_to_frequency(columns, v, row, weights_, weights_, to, to + weights_);
    }
    for (int k = 0; k < scales.frequencies; ++k) {
      const float* cosine = scales.even_taps + std::size_t(k) * scales.even;
      const float* sine = scales.odd_taps + std::size_t(k) * scales.odd;
      for (int a = 0; a < row_taps; ++a) {
        float* plus = desk.kernel_parts.get() + 2 * k * stride + a * one;
        float* minus = plus + stride;
        for (int w = 0; w < weights_; w += LANES) {
          Vector even_real = {}, even_imaginary = {}, odd_real = {}, odd_imaginary = {};
          const float* tap = desk.half_kernel.get() + a * one + w;
          for (int d = 0; d < scales.even; ++d, tap += stride) {
            even_real += all(cosine[d]) * load(tap);
            even_imaginary += all(cosine[d]) * load(tap + weights_);
          }
          for (int d = 0; d < scales.odd; ++d, tap += stride) {
            odd_real += all(sine[d]) * load(tap);
            odd_imaginary += all(sine[d]) * load(tap + weights_);
          }
          store(plus + w, even_real - odd_imaginary);
          store(plus + weights_ + w, even_imaginary + odd_real);
          store(minus + w, even_real + odd_imaginary);
          store(minus + weights_ + w, even_imaginary - odd_real);
        }
      }
    }
  }

  // Products at (u, v) and every k: (2 k + sign, block, 4, LANES).
  void multiply_scales(int u, Desk& desk) {
    const Axis &scales = group_.scales, &rows = group_.rows;
    const std::size_t plane = std::size_t(rows.frequencies) * 4 * lanes_;
    const std::size_t stride = std::size_t(rows.even + rows.odd) * 2 * weights_;
    for (int k = 0; k < scales.frequencies; ++k) {
      const float* cosine = desk.spectrum.get() + 2 * k * plane + u * 4 * lanes_;
      const float* sine = cosine + plane;
      for (int sign = 0; sign < (has_mirror(k) ? 2 : 1); ++sign) {
        const Vector direction = all(sign == 0 ? 1.0f : -1.0f);
        float* seen = desk.seen.get();
        for (int real = 0; real < 4 * lanes_; real += 2 * lanes_) {  // at u, at -u
          const int imaginary = real + lanes_;
          for (int lane = 0; lane < lanes_; lane += LANES) {
            store(seen + real + lane,
                  load(cosine + real + lane) - direction * load(sine + imaginary + lane));
            store(seen + imaginary + lane,
                  load(cosine + imaginary + lane) + direction * load(sine + real + lane));
          }
        }
        kernel_at(rows, u, desk.kernel_parts.get() + (2 * k + sign) * stride, weights_,
                  desk.kernel.get());
        multiply(volume_.images, volume_.outputs, seen, lanes_, desk.kernel.get(),
                 desk.products.get() + std::size_t(2 * k + sign) * 4 * answer_lanes_, 4 * LANES);
      }
    }
  }

  // From frequencies along the scales to the scales of answers: (scale, block, u, 4, LANES).
  void sum_scales(int u, Desk& desk) {
    const Axis& scales = group_.scales;
    const int frequencies = scales.frequencies, last = scales.answers - 1;
    const int blocks = answer_lanes_ / LANES, row_frequencies = group_.rows.frequencies;
    const std::size_t sign_stride = std::size_t(4) * answer_lanes_;
    Buffer<float>& pairs = desk.pairs;
    for (int block = 0; block < blocks; ++block) {
      for (int part = 0; part < 4; part += 2) {  // sums, differences of u and -u
        for (int k = 0; k < frequencies; ++k) {
          const float* plus = desk.products.get() + 2 * k * sign_stride + (block * 4 + part) * LANES;
          const Vector real = load(plus), imaginary = load(plus + LANES);
          Vector m_real = {}, m_imaginary = {};
          if (has_mirror(k)) {
            m_real = load(plus + sign_stride);
            m_imaginary = load(plus + sign_stride + LANES);
          }
          float* to = pairs.get() + k * 4 * LANES;
          store(to, real + m_real);
          store(to + LANES, imaginary + m_imaginary);
          store(to + 2 * LANES, m_imaginary - imaginary);  // i times the difference
          store(to + 3 * LANES, real - m_real);
        }
        in_blocks<NARROW>(0, half(scales.answers), [&](auto size, int first) {
          constexpr int R = decltype(size)::value;
          Vector even_real[R] = {}, even_imaginary[R] = {}, odd_real[R] = {}, odd_imaginary[R] = {};
          const float* cosine = scales.synthesis_cosine + std::size_t(first) * frequencies;
          const float* sine = scales.synthesis_sine + std::size_t(first) * frequencies;
          for (int k = 0; k < frequencies; ++k) {
            const float* pair = pairs.get() + k * 4 * LANES;
            const Vector p = load(pair), q = load(pair + LANES), s = load(pair + 2 * LANES),
                         t = load(pair + 3 * LANES);
            for (int r = 0; r < R; ++r) {
              const Vector c = all(cosine[r * frequencies + k]), d = all(sine[r * frequencies + k]);
              even_real[r] += c * p;
              even_imaginary[r] += c * q;
              odd_real[r] += d * s;
              odd_imaginary[r] += d * t;
            }
          }
          for (int r = 0; r < R; ++r) {
            for (int scale : {first + r, last - first - r}) {
              const std::size_t at =
                  (std::size_t(scale) * blocks + block) * row_frequencies + u;
              float* to = desk.sums.get() + (at * 4 + part) * LANES;
              const bool before = scale == first + r;
              store(to, before ? even_real[r] + odd_real[r] : even_real[r] - odd_real[r]);
              store(to + LANES, before ? even_imaginary[r] + odd_imaginary[r]
                                       : even_imaginary[r] - odd_imaginary[r]);
            }
          }
        });
      }
    }
  }

  void finish_rows(int v, Desk& desk) {
    const int blocks = answer_lanes_ / LANES;
    for (int scale = 0; scale < group_.scales.answers; ++scale) {
      for (int block = 0; block < blocks; ++block) {
        const std::size_t at = std::size_t(scale) * blocks + block;
        const float* sums = desk.sums.get() + at * group_.rows.frequencies * 4 * LANES;
        to_rows(group_.rows, sums, [&](int i, Vector real, Vector imaginary) {
          float* to = line_of(scale, block, i) + v * 2 * LANES;
          store(to, real);
          store(to + LANES, imaginary);
        });
      }
    }
  }

  const Volume volume_;
  const Group group_;
  const int lanes_, answer_lanes_, weights_, planes_;
  Buffer<float> columns_done_, lines_;
};

}  // namespace

// Peaks of all rows of all scales of answers, (scales, answer_rows, images, outputs); those of rows
// that see only zeros are left as they are.
EXPORT int volume_peaks(const Volume* volume, const Peaks* peaks) {
  return guarded([&] {
    for (int number = 0; number < volume->groups; ++number) {
      GroupSearch group(*volume, volume->group[number]);
      std::vector<GroupSearch::Desk> desks;
      for (int member = 0; member < volume->threads; ++member) desks.push_back(group.desk());
      Team::run(volume->threads, [&](const Member& member) {
        group.search(member, desks[member.number], *peaks);
      });
    }
  });
}

// Peaks of all rows of a convolution with one scale, (rows, images, outputs).
EXPORT int plane_peaks(const Problem* problem, const Peaks* peaks) {
  return guarded([&] {
    std::vector<Buffer<float>> lines;
    for (int number = 0; number < problem->threads; ++number) {
      lines.push_back(buffer<float>(std::size_t(problem->width) * LANES));
    }
    const std::size_t lanes = std::size_t(problem->images.count) * problem->outputs;
    scan_scales(
        *problem, [](int, int) { return true; },
        [&](const Member& member, Scan& scan, int, int block) {
          float* line = lines[member.number].get();
          for (int i = 0; i < problem->rows[0].answers; ++i) {
            scan.answer_row(problem->columns[0], block, i,
                            [&](int j, Vector answer) { store(line + j * LANES, answer); });
            keep_peak(line, problem->columns[0].answers, 0, *peaks, i * lanes + block * LANES);
          }
        });
  });
}
