// Threads that work through the same phases, without a library's runtime.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// One member of a team: which share of each loop is its own, and where all wait for each other.
class Team {
 public:
  explicit Team(int size) : size_(size) {}

  // Runs work(member) on every member; the calling thread is member 0.
  template <class Work>
  static void run(int size, const Work& work) {
    Team team(size);
    std::vector<std::thread> others;
    others.reserve(size - 1);
    for (int number = 1; number < size; ++number) {
      others.emplace_back([&team, &work, number] { work(Member{team, number}); });
    }
    work(Member{team, 0});
    for (auto& other : others) other.join();
  }

  struct Member {
    Team& team;
    int number;

    // Every size-th of count items, so that items of falling cost are shared out evenly.
    template <class Body>
    void share(int count, const Body& body) const {
      for (int item = number; item < count; item += team.size_) body(item);
    }

    void wait() const { team.wait(); }
  };

 private:
  void wait() {
    if (size_ == 1) return;
    std::unique_lock<std::mutex> lock(mutex_);
    const unsigned phase = phase_;
    if (++waiting_ == size_) {
      waiting_ = 0;
      ++phase_;
      arrived_.notify_all();
    } else {
      arrived_.wait(lock, [&] { return phase_ != phase; });
    }
  }

  const int size_;
  int waiting_ = 0;
  unsigned phase_ = 0;
  std::mutex mutex_;
  std::condition_variable arrived_;
};

using Member = Team::Member;

}  // namespace
