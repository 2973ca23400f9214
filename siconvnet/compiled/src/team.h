// Threads that work through the same phases: those of the OpenMP runtime that PyTorch computes with,
// or, where none was found, threads of our own.
#pragma once

#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

// An OpenMP runtime, by what GCC's interface to it exports. PyTorch's threads wait busily for a while
// after each of its operations; work that they are given then starts at once, where threads of our
// own would have to share the cores with them.
struct OpenMP {
  void (*parallel)(void (*work)(void*), void* data, unsigned threads, unsigned flags);
  int (*thread_number)();
  int (*team_size)();
};

// The runtime that was named to use_openmp, which stays as it is, or null; null, too, in a process
// forked from the one that it was named for, to which no thread of the runtime has come along.
const OpenMP* openmp();

// How many processors this thread may use.
int usable_processors();

namespace {

inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How a thread rounds and what it takes for zero: threads of OpenMP know only what they were set to.
class FloatingPointMode {
 public:
  FloatingPointMode() { std::fegetenv(&mode_); }

  // Has a thread compute in this mode as long as it lives.
  class Here {
   public:
    explicit Here(const FloatingPointMode& wanted) {
      std::fegetenv(&before_);
      std::fesetenv(&wanted.mode_);
    }
    ~Here() { std::fesetenv(&before_); }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;

   private:
    std::fenv_t before_;
  };

 private:
  std::fenv_t mode_;
};

class Team {
 public:
  // One member of a team: which share of each loop is its own, and where all wait for each other.
  struct Member {
    Team& team;
    int number, size;

    // Every size-th of count items, so that items of falling cost are shared out evenly.
    template <class Body>
    void share(int count, const Body& body) const {
      for (int item = number; item < count; item += size) body(item);
    }

    void wait() const { team.wait(size); }
  };

  // Runs work(member) on at most so many members, among them the calling thread. The first exception
  // of a member ends the others' work where they next wait, and is thrown here.
  template <class Work>
  static void run(int most, const Work& work) {
    Team team;
    const FloatingPointMode mode;
    const auto part = [&](int number, int size) {
      const FloatingPointMode::Here here(mode);
      try {
        work(Member{team, number, size});
      } catch (...) {
        team.fail();
      }
    };
    if (most > 1) team.processors_ = usable_processors();
    if (most == 1) {
      part(0, 1);
    } else if (const OpenMP* runtime = openmp()) {
      on_openmp(*runtime, most, part);
    } else {
      team.on_threads(most, part);
    }
    if (team.failure_) std::rethrow_exception(team.failure_);
  }

 private:
  struct Abandoned {};

  template <class Part>
  static void on_openmp(const OpenMP& runtime, int most, const Part& part) {
    struct Region {
      const OpenMP& runtime;
      const Part& part;
    } region{runtime, part};
    const auto work = [](void* data) {
      const Region& here = *static_cast<const Region*>(data);
      here.part(here.runtime.thread_number(), here.runtime.team_size());
    };
    runtime.parallel(work, &region, most, 0);
  }

  template <class Part>
  void on_threads(int most, const Part& part) {
    std::vector<std::thread> others;
    others.reserve(most - 1);
    int size = 0;  // is known when all are there that can be had
    const auto join_in = [&](int number) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return size > 0; });
      lock.unlock();
      part(number, size);
    };
    try {
      for (int number = 1; number < most; ++number) others.emplace_back(join_in, number);
    } catch (...) {  // the system gives no more threads
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      size = int(others.size()) + 1;
    }
    changed_.notify_all();
    part(0, size);
    for (auto& other : others) other.join();
  }

  void wait(int size) {
    if (size == 1) return;
    const unsigned phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
      arrived_.store(0, std::memory_order_relaxed);
      const std::lock_guard<std::mutex> lock(mutex_);
      phase_.store(phase + 1, std::memory_order_release);
      changed_.notify_all();
      return;
    }
    const auto over = [&] {
      return phase_.load(std::memory_order_acquire) != phase || failed_.load(std::memory_order_acquire);
    };
    if (size <= processors_) wait_busily(over);
    if (!over()) {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, over);
    }
    if (phase_.load(std::memory_order_acquire) == phase) throw Abandoned{};
  }

  template <class Over>
  static void wait_busily(const Over& over) {
    constexpr int TURNS = 16;  // between looks at the clock
    const auto end = std::chrono::steady_clock::now() + BUSILY;
    do {
      for (int turn = 0; turn < TURNS; ++turn) {
        if (over()) return;
        pause_briefly();
      }
    } while (std::chrono::steady_clock::now() < end);
  }

  void fail() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    failed_.store(true, std::memory_order_release);
    changed_.notify_all();
  }

  static constexpr std::chrono::microseconds BUSILY{50};  // less than a phase takes

  int processors_ = 1;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> phase_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

using Member = Team::Member;

}  // namespace
