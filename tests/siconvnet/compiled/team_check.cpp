// Exits with 0 if a team keeps its promises; argument: how many threads a runtime gives, 0: no runtime.
#include <unistd.h>

#include <algorithm>
#include <cfenv>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "team.cpp"

namespace {

int given;
std::atomic<bool> left_changed{false};  // whether a thread came back with another mode
thread_local int number;

// Gives fewer threads than it is asked for, as OpenMP may.
void parallel(void (*work)(void*), void* data, unsigned threads, unsigned) {
  std::vector<std::thread> others;
  for (int other = 1; other < std::min(given, int(threads)); ++other) {
    others.emplace_back([=] {
      number = other;
      std::fesetround(FE_TONEAREST);  // as a thread that was started before the caller changed it
      work(data);
      left_changed = left_changed || std::fegetround() != FE_TONEAREST;
    });
  }
  number = 0;
  work(data);
  for (auto& other : others) other.join();
}

int thread_number() { return number; }
int team_size() { return given; }

void expect(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "not kept: %s\n", promise);
  std::exit(1);
}

}  // namespace

int main(int, char** arguments) {
  given = std::atoi(arguments[1]);
  if (given > 0) use_openmp(parallel, thread_number, team_size, getpid());
  expect((openmp() != nullptr) == (given > 0), "a runtime serves in the process that has it");
  constexpr int MEMBERS = 4, PHASES = 300, ITEMS = 50;

  std::vector<int> done(ITEMS);
  bool together = true;
  Team::run(MEMBERS, [&](const Member& member) {
    for (int phase = 0; phase < PHASES; ++phase) {
      member.share(ITEMS, [&](int item) { ++done[item]; });
      member.wait();
      if (member.number == 0) {
        for (const int count : done) together &= count == phase + 1;
      }
      member.wait();
    }
  });
  expect(together, "all items of a phase are done, each once, before the next phase");

  for (int failing = 0; failing < (given > 0 ? given : MEMBERS); ++failing) {
    std::string reason;
    std::atomic<int> beyond{0};
    try {
      Team::run(MEMBERS, [&](const Member& member) {
        member.wait();
        if (member.number == failing) throw std::runtime_error("no memory");
        member.wait();
        ++beyond;
      });
    } catch (const std::runtime_error& error) {
      reason = error.what();
    }
    expect(reason == "no memory", "a member's exception reaches the caller");
    expect(beyond == 0, "no member goes on to a phase that another has not reached");
  }

  std::fesetround(FE_UPWARD);
  std::atomic<int> upward{0}, members{0};
  Team::run(MEMBERS, [&](const Member&) {
    ++members;
    upward += std::fegetround() == FE_UPWARD;
  });
  expect(upward == members, "all members round as the caller does");
  expect(std::fegetround() == FE_UPWARD, "the caller rounds as before");
  expect(!left_changed, "a runtime's thread rounds as before");

  if (given > 0) {
    use_openmp(parallel, thread_number, team_size, getpid() + 1);
    expect(openmp() == nullptr, "the threads of another process do not serve");
  }
  return 0;
}
