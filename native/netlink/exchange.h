// Many messages in one send, each with its own sequence number, acknowledged together, and each
// with its own outcome.
#ifndef IPVS_PROXIER_NETLINK_EXCHANGE_H_
#define IPVS_PROXIER_NETLINK_EXCHANGE_H_

#include <linux/netlink.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "native/netlink/attributes.h"
#include "native/netlink/transport.h"

namespace proxier::netlink {

// Calls `visit(header, payload)` for every message wholly within the datagram.
template <typename Visit>
void ForEachMessage(std::span<const uint8_t> datagram, Visit&& visit) {
  size_t at = 0;
  while (datagram.size() - at >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data() + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size() - at) return;
    visit(header, datagram.subspan(at + sizeof header, header.nlmsg_len - sizeof header));
    const size_t step = NLMSG_ALIGN(header.nlmsg_len);
    if (step > datagram.size() - at) return;
    at += step;
  }
}

// The answer in an NLMSG_ERROR message.
struct Answer {
  // 0 or a positive errno; kUnknown when the message was too short to hold one.
  int32_t code = 0;
  // The kernel's own words (extended acknowledgement); usually none.
  std::string text;
};
Answer ReadAnswer(const nlmsghdr& header, std::span<const uint8_t> payload);

// A kernel text about one operation.
struct OperationText {
  uint32_t operation;
  std::string text;
};

struct ExchangeStats {
  uint32_t messages = 0;
  uint32_t round_trips = 0;
};

// Collects the messages of one send. After Flush it is empty and can be used again.
class Exchange {
 public:
  // 64 to 256 KB is where batches are fastest (floor.md); a longer one only blocks longer.
  static constexpr size_t kSendBytes = 128 * 1024;
  // The longest message of any codec: the buffer is flushed when less than this is left.
  static constexpr size_t kMessageBytes = 2048;

  Exchange() : buffer_(new uint8_t[kSendBytes]), writer_({buffer_.get(), kSendBytes}) {}

  [[nodiscard]] bool empty() const { return messages_.empty(); }
  [[nodiscard]] bool Full(const Transport& transport) const {
    return kSendBytes - writer_.length() < kMessageBytes ||
           messages_.size() >= transport.MessageLimit();
  }

  // Starts a message that belongs to operation number `operation`. Write its body into writer(),
  // then call End or Drop.
  MessageWriter& Begin(uint32_t operation, uint16_t type, uint16_t flags);
  // False when the message did not fit; it is dropped then.
  bool End();
  void Drop();

  // Sends, reads the answers, and stores what became of every message in results[operation].
  void Flush(Transport& transport, std::span<int32_t> results, std::vector<OperationText>& texts,
             ExchangeStats& stats);

  // After a Flush: the operations it was about. For a codec that has to send the same messages
  // again under another type.
  [[nodiscard]] bool AllAnswered(std::span<const int32_t> results, int32_t code) const;
  void Resend(Transport& transport, uint16_t type, std::span<int32_t> results,
              std::vector<OperationText>& texts, ExchangeStats& stats);
  void Fail(std::span<int32_t> results, int32_t code) const;
  void Clear();

 private:
  struct Message {
    size_t offset;
    uint32_t operation;
  };
  void Drain(Transport& transport, uint32_t first, std::span<int32_t> results,
             std::vector<OperationText>& texts);

  std::unique_ptr<uint8_t[]> buffer_;
  MessageWriter writer_;
  std::vector<Message> messages_;
  Message pending_{};
  std::vector<std::span<const uint8_t>> datagrams_;
};

// Sends one request and hands the messages that answer it to `visit`. 0, an errno, or kUnknown when
// nothing came. The kernel answers within the send, so this never waits.
int32_t Ask(Transport& transport, std::span<uint8_t> request,
            const std::function<void(std::span<const uint8_t>)>& visit,
            std::string* text = nullptr);

// Room for one request of Ask.
class Request {
 public:
  Request(Transport& transport, uint16_t type, uint16_t flags) : writer_(buffer_) {
    writer_.BeginMessage(type, flags, transport.ReserveSequences(1));
  }
  MessageWriter& writer() { return writer_; }
  std::span<uint8_t> bytes() {
    writer_.EndMessage();
    return {buffer_.data(), writer_.length()};
  }

 private:
  std::array<uint8_t, 1024> buffer_{};
  MessageWriter writer_;
};

}  // namespace proxier::netlink

#endif  // IPVS_PROXIER_NETLINK_EXCHANGE_H_
