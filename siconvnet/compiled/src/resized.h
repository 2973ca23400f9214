// A bilinear resizing along one axis, zeros around it where it shrinks.
#pragma once

#include <cstdint>

extern "C" {

struct Blend {
  std::int32_t same;         // whether nothing is resized
  std::int32_t pixels;       // of what comes out, the frame included
  std::int32_t first, last;  // of those that are not frame; outside all is zero
  const std::int32_t* from;  // (pixels, 2): which two pixels are blended
  const float* shares;       // (pixels, 2)
};

}  // extern "C"
