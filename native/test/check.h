// A test is a function that CHECKs; the first failed check ends the program, naming the place.
#ifndef IPVS_PROXIER_TEST_CHECK_H_
#define IPVS_PROXIER_TEST_CHECK_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace proxier::test {

template <typename Left, typename Right>
void CheckEqual(const Left& left, const Right& right, const char* text, const char* file,
                int line) {
  if (left == right) return;
  std::fprintf(stderr, "%s:%d: %s: %lld and %lld\n", file, line, text, static_cast<long long>(left),
               static_cast<long long>(right));
  std::abort();
}

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      std::fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                               \
    }                                                                             \
  } while (false)
#define CHECK_EQ(left, right) \
  ::proxier::test::CheckEqual((left), (right), #left " == " #right, __FILE__, __LINE__)

// Bytes in an allocation of exactly their size, so that the sanitizer sees a read of one more.
class Exact {
 public:
  explicit Exact(std::span<const uint8_t> bytes)
      : size_(bytes.size()), bytes_(new uint8_t[bytes.size()]) {
    for (size_t i = 0; i < size_; i++) bytes_[i] = bytes[i];
  }
  [[nodiscard]] std::span<const uint8_t> span() const { return {bytes_.get(), size_}; }
  [[nodiscard]] std::span<uint8_t> writable() { return {bytes_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<uint8_t[]> bytes_;
};

// A fixed sequence, so that a failure can be found again (xorshift64*).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed | 1) {}
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dULL;
  }
  size_t Below(size_t limit) { return static_cast<size_t>(Next() % limit); }

 private:
  uint64_t state_;
};

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_CHECK_H_
