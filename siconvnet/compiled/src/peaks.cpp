// The winners among the peaks of rows that a search has left.

#include "peaks.h"

// Scale, row and column, (lanes) each, of the largest peak among (scales, rows, lanes), or of the
// first that rounding cannot tell from it: in the order of scales, rows and columns or, with
// `by_pixel`, of rows, columns and scales.
EXPORT int first_peaks(const Peaks* peaks, int scales, int rows, int lanes, int by_pixel,
                       std::int32_t* scale, std::int32_t* row, std::int32_t* column) {
  for (int lane = 0; lane < lanes; lane += LANES) {
    const auto at = [&](int s, int i) { return (std::size_t(s) * rows + i) * lanes + lane; };
    Vector largest = load(peaks->largest + lane), lowest = load(peaks->lowest + lane);
    for (std::size_t line = 1; line < std::size_t(scales) * rows; ++line) {
      largest = larger(load(peaks->largest + line * lanes + lane), largest);
      const Vector other = load(peaks->lowest + line * lanes + lane);
      lowest = other < lowest ? other : lowest;
    }
    const Vector enough = within_rounding(largest, lowest);
    Mask scale_found = {}, row_found = {}, column_found = {}, open = largest == largest;
    const auto consider = [&](int s, int i) {
      const Mask columns = load(peaks->column + at(s, i));
      Mask here = load(peaks->largest + at(s, i)) >= enough;
      here &= by_pixel ? open | ((row_found == all(i)) & (columns < column_found)) : open;
      scale_found = here ? all(s) : scale_found;
      row_found = here ? all(i) : row_found;
      column_found = here ? columns : column_found;
      open &= ~here;
    };
    if (by_pixel) {
      for (int i = 0; i < rows; ++i) {
        for (int s = 0; s < scales; ++s) consider(s, i);
      }
    } else {
      for (int s = 0; s < scales; ++s) {
        for (int i = 0; i < rows; ++i) consider(s, i);
      }
    }
    store(scale + lane, scale_found);
    store(row + lane, row_found);
    store(column + lane, column_found);
  }
  return 0;
}
