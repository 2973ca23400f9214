// The OpenMP runtime whose threads work for this library.

#include "team.h"

#include <unistd.h>

#include "vector.h"

namespace {

OpenMP runtime;
std::atomic<pid_t> process{0};  // that has its threads; 0 if there is no runtime

}  // namespace

const OpenMP* openmp() {
  return process.load(std::memory_order_acquire) == getpid() ? &runtime : nullptr;
}

// Names the runtime's functions; null instead of any of them: there is none.
EXPORT int use_openmp(decltype(OpenMP::parallel) parallel,
                      decltype(OpenMP::thread_number) thread_number,
                      decltype(OpenMP::team_size) team_size) {
  process.store(0, std::memory_order_release);
  runtime = {parallel, thread_number, team_size};
  const bool whole = parallel != nullptr && thread_number != nullptr && team_size != nullptr;
  process.store(whole ? getpid() : 0, std::memory_order_release);
  return 0;
}
