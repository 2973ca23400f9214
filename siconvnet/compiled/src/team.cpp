// The OpenMP runtime whose threads work for this library, and how many threads can work at once.

#include "team.h"

#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include "vector.h"

namespace {

struct Runtime {
  OpenMP functions;
  pid_t process;  // that has its threads
};

std::atomic<const Runtime*> runtime{nullptr};

}  // namespace

const OpenMP* openmp() {
  const Runtime* named = runtime.load(std::memory_order_acquire);
  return named != nullptr && named->process == getpid() ? &named->functions : nullptr;
}

int usable_processors() {
#if defined(__linux__)
  cpu_set_t usable;
  if (sched_getaffinity(0, sizeof usable, &usable) == 0) return CPU_COUNT(&usable);
#endif
  return int(std::thread::hardware_concurrency());
}

// Names the functions of the runtime that a process has; null instead of any of them: there is none.
EXPORT int use_openmp(decltype(OpenMP::parallel) parallel,
                      decltype(OpenMP::thread_number) thread_number,
                      decltype(OpenMP::team_size) team_size, int process) {
  const bool whole = parallel != nullptr && thread_number != nullptr && team_size != nullptr;
  // What was named before is kept: a team may be running on it.
  runtime.store(whole ? new Runtime{{parallel, thread_number, team_size}, process} : nullptr,
                std::memory_order_release);
  return 0;
}
