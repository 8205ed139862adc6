// What the fuzz targets share. Each target is a file of this directory that defines
// LLVMFuzzerTestOneInput; native/test/corpus/<target>/ holds its first inputs, taken from real
// kernels (capture/capture.cc).
#ifndef IPVS_PROXIER_TEST_FUZZ_FUZZ_H_
#define IPVS_PROXIER_TEST_FUZZ_FUZZ_H_

#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "native/netlink/transport.h"
#include "native/test/check.h"
#include "native/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace proxier::test {

// Whatever came in, whole records go out, of the one kind of opcodes that a dump has.
inline void CheckRecords(std::span<const uint8_t> out) {
  size_t at = 0;
  while (at < out.size()) {
    CHECK(out.size() - at >= kHeaderBytes);
    const size_t length = static_cast<size_t>(out[at] | out[at + 1] << 8);
    CHECK(length >= kHeaderBytes && length % 4 == 0 && length <= out.size() - at);
    CHECK(out[at + 2] >= 0x80);
    at += length;
  }
}

// A decoder of one message: `decode(payload, writer)`. What it refuses must leave no record.
template <typename Decode>
int FuzzDecoder(const uint8_t* data, size_t size, Decode&& decode) {
  const Exact input({data, size});
  std::vector<uint8_t> out;
  RecordWriter writer(out);
  if (!decode(input.span(), writer)) CHECK(out.empty());
  CheckRecords(out);
  return 0;
}

// Takes what is sent, and answers with the datagrams of an input: two bytes of length each, then
// the datagram. A length of 0xff00 and more is an error of the receive, with this number below.
class ScriptedTransport final : public netlink::Transport {
 public:
  explicit ScriptedTransport(std::span<const uint8_t> script) : script_(script) {}

  int Send(std::span<const uint8_t>) override { return 0; }

  int Receive(bool, std::vector<std::span<const uint8_t>>& datagrams) override {
    datagrams.clear();
    current_.clear();
    while (script_.size() >= 2 && current_.size() < netlink::kDatagramsAtOnce) {
      const size_t length = static_cast<size_t>(script_[0] | script_[1] << 8);
      if (length >= 0xff00) {
        if (!current_.empty()) break;
        script_ = script_.subspan(2);
        return length == 0xff00 ? ENOBUFS : static_cast<int>(length - 0xff00);
      }
      script_ = script_.subspan(2);
      const size_t taken = length < script_.size() ? length : script_.size();
      current_.emplace_back(script_.first(taken));
      script_ = script_.subspan(taken);
    }
    if (current_.empty()) return EAGAIN;
    for (const Exact& datagram : current_) datagrams.push_back(datagram.span());
    return 0;
  }

  [[nodiscard]] size_t MessageLimit() const override { return 64; }

 private:
  std::span<const uint8_t> script_;
  std::vector<Exact> current_;
};

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_FUZZ_FUZZ_H_
