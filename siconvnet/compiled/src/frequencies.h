// Steps to the frequency domain and back, for LANES lanes at once.
//
// Along an axis of `pixels`, frequency u of a period that no answer wraps around in stands for
// exp(i w u (x - middle)). Pixels, kernels and answers are all counted from their middles, so that
// the pixels x and pixels-1-x, the frequencies u and -u, and the answers i and answers-1-i share
// their products. A kernel's part at u is a product of a fixed matrix with its few learned taps,
// even ones for the cosine and odd ones for the sine, whatever size it has been enlarged to.
#pragma once

#include <algorithm>

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

// The sums and differences of pixels that are each other's mirror image, from the middle outwards.
template <class Pixel>
inline void fold(int pixels, float* even, float* odd, const Pixel& pixel) {
  for (int r = 0; r < half(pixels); ++r) {
    const Vector after = pixel(pixels / 2 + r), before = pixel((pixels - 1) / 2 - r);
    store(even + r * LANES, after + before);
    store(odd + r * LANES, before - after);
  }
}

// The same of complex pixels, whose imaginary parts lie `imaginary` further on: (half, 4, LANES).
template <class Pixel>
inline void fold_complex(int pixels, float* pairs, const Pixel& pixel, std::size_t imaginary) {
  for (int r = 0; r < half(pixels); ++r) {
    const float *after = pixel(pixels / 2 + r), *before = pixel((pixels - 1) / 2 - r);
    float* to = pairs + r * 4 * LANES;
    store(to, load(after) + load(before));
    store(to + LANES, load(after + imaginary) + load(before + imaginary));
    store(to + 2 * LANES, load(before) - load(after));
    store(to + 3 * LANES, load(before + imaginary) - load(after + imaginary));
  }
}

// Real folded pixels to the frequencies from 0 on: keep(u, real, imaginary).
template <class Keep>
inline void to_frequencies(const Axis& axis, const float* even, const float* odd,
                           const Keep& keep) {
  const int halves = half(axis.pixels);
  in_blocks<WIDE>(0, axis.frequencies, [&](auto size, int first) {
    constexpr int R = decltype(size)::value;
    Vector real[R] = {}, imaginary[R] = {};
    const float* cosine = axis.analysis_cosine + std::size_t(first) * halves;
    const float* sine = axis.analysis_sine + std::size_t(first) * halves;
    for (int r = 0; r < halves; ++r) {
      const Vector e = load(even + r * LANES), o = load(odd + r * LANES);
      for (int z = 0; z < R; ++z) {
        real[z] += all(cosine[z * halves + r]) * e;
        imaginary[z] += all(sine[z * halves + r]) * o;
      }
    }
    for (int z = 0; z < R; ++z) keep(first + z, real[z], imaginary[z]);
  });
}

// Complex folded pixels, (half, 4, LANES) of even and odd parts, to the frequencies u and -u:
// keep(u, real, imaginary, real at -u, imaginary at -u).
template <class Keep>
inline void to_signed_frequencies(const Axis& axis, const float* pairs, const Keep& keep) {
  const int halves = half(axis.pixels);
  in_blocks<MIDDLE>(0, axis.frequencies, [&](auto size, int first) {
    constexpr int R = decltype(size)::value;
    Vector real[R] = {}, imaginary[R] = {}, odd_real[R] = {}, odd_imaginary[R] = {};
    const float* cosine = axis.analysis_cosine + std::size_t(first) * halves;
    const float* sine = axis.analysis_sine + std::size_t(first) * halves;
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
      keep(first + z, real[z] - odd_imaginary[z], imaginary[z] + odd_real[z],
           real[z] + odd_imaginary[z], imaginary[z] - odd_real[z]);
    }
  });
}

// Folded taps, (even and odd, ..., weights), to the real and the imaginary part at frequency u.
inline void taps_to_frequency(const Axis& axis, int u, const float* taps, std::size_t stride,
                              int weights, float* real, float* imaginary) {
  const float* cosine = axis.even_taps + std::size_t(u) * axis.even;
  const float* sine = axis.odd_taps + std::size_t(u) * axis.odd;
  for (int w = 0; w < weights; w += LANES) {
    Vector r = {}, i = {};
    for (int tap = 0; tap < axis.even; ++tap) r += all(cosine[tap]) * load(taps + tap * stride + w);
    const float* rest = taps + axis.even * stride;
    for (int tap = 0; tap < axis.odd; ++tap) i += all(sine[tap]) * load(rest + tap * stride + w);
    store(real + w, r);
    store(imaginary + w, i);
  }
}

// Kernels whose columns are in the frequency domain, (row taps, 2, weights), at u and -u:
// (4, weights).
inline void kernel_at(const Axis& rows, int u, const float* half_kernel, int weights,
                      float* kernel) {
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

// Sums and differences of the answers at u and -u: (4, LANES) for each block of lanes, blocks
// `stride` apart. seen: (4, lanes) of the images, lanes being (image, channel).
inline void multiply(const Images& images, int outputs, const float* seen, int lanes,
                     const float* kernel, float* products, std::size_t stride) {
  in_blocks<IMAGES>(0, images.count, [&](auto size, int first) {
    constexpr int R = decltype(size)::value;
    const int weights = images.channels * outputs;
    for (int output = 0; output < outputs; output += LANES) {
      Vector real[R] = {}, imaginary[R] = {}, mirror_real[R] = {}, mirror_imaginary[R] = {};
      for (int c = 0; c < images.channels; ++c) {
        const float* weight = kernel + c * outputs + output;
        const Vector w_real = load(weight), w_imaginary = load(weight + weights);
        const Vector m_real = load(weight + 2 * weights), m_imaginary = load(weight + 3 * weights);
        for (int r = 0; r < R; ++r) {
          const float* x = seen + (first + r) * images.channel_stride + c;
          const Vector x_real = all(x[0]), x_imaginary = all(x[lanes]);
          real[r] += x_real * w_real;
          real[r] -= x_imaginary * w_imaginary;
          imaginary[r] += x_imaginary * w_real;
          imaginary[r] += x_real * w_imaginary;
          const Vector y_real = all(x[2 * lanes]), y_imaginary = all(x[3 * lanes]);
          mirror_real[r] += y_real * m_real;
          mirror_real[r] -= y_imaginary * m_imaginary;
          mirror_imaginary[r] += y_imaginary * m_real;
          mirror_imaginary[r] += y_real * m_imaginary;
        }
      }
      for (int r = 0; r < R; ++r) {
        float* to = products + ((first + r) * outputs + output) / LANES * stride;
        store(to, real[r] + mirror_real[r]);
        store(to + LANES, imaginary[r] + mirror_imaginary[r]);
        store(to + 2 * LANES, real[r] - mirror_real[r]);
        store(to + 3 * LANES, imaginary[r] - mirror_imaginary[r]);
      }
    }
  });
}

// Products of one block, (u, 4, LANES), to rows of answers: keep(i, real, imaginary).
template <class Keep>
inline void to_rows(const Axis& rows, const float* products, const Keep& keep) {
  const int frequencies = rows.frequencies, last = rows.answers - 1;
  in_blocks<MIDDLE>(0, half(rows.answers), [&](auto size, int first) {
    constexpr int R = decltype(size)::value;
    Vector real[R] = {}, imaginary[R] = {}, odd_real[R] = {}, odd_imaginary[R] = {};
    const float* cosine = rows.synthesis_cosine + std::size_t(first) * frequencies;
    const float* sine = rows.synthesis_sine + std::size_t(first) * frequencies;
    for (int u = 0; u < frequencies; ++u) {
      const float* at = products + u * 4 * LANES;
      const Vector sum_real = load(at), sum_imaginary = load(at + LANES);
      const Vector difference_real = load(at + 2 * LANES);
      const Vector difference_imaginary = load(at + 3 * LANES);
      for (int r = 0; r < R; ++r) {
        const Vector c = all(cosine[r * frequencies + u]), s = all(sine[r * frequencies + u]);
        real[r] += c * sum_real;
        odd_real[r] += s * difference_imaginary;
        imaginary[r] += c * sum_imaginary;
        odd_imaginary[r] += s * difference_real;
      }
    }
    for (int r = 0; r < R; ++r) {
      keep(first + r, real[r] - odd_real[r], imaginary[r] + odd_imaginary[r]);
      keep(last - first - r, real[r] + odd_real[r], imaginary[r] - odd_imaginary[r]);
    }
  });
}

// One row of answers with its columns in the frequency domain, (v, 2, LANES), to the answers:
// keep(j, answer), each once.
template <class Keep>
inline void to_answers(const Axis& columns, const float* line, const Keep& keep) {
  const int frequencies = columns.frequencies, last = columns.answers - 1;
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

}  // namespace
