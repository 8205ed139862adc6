// A kernel of the other end of a transport: answers within the send, and loses answers when its
// queue is full, as netlink does.
#ifndef IPVS_PROXIER_TEST_FAKE_KERNEL_H_
#define IPVS_PROXIER_TEST_FAKE_KERNEL_H_

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "native/netlink/exchange.h"
#include "native/netlink/transport.h"

namespace proxier::test {

using Datagram = std::vector<uint8_t>;

inline Datagram Message(uint16_t type, uint16_t flags, uint32_t sequence,
                        std::span<const uint8_t> payload) {
  Datagram bytes(sizeof(nlmsghdr) + NLMSG_ALIGN(payload.size()));
  const nlmsghdr header = {.nlmsg_len = static_cast<uint32_t>(sizeof(nlmsghdr) + payload.size()),
                           .nlmsg_type = type,
                           .nlmsg_flags = flags,
                           .nlmsg_seq = sequence,
                           .nlmsg_pid = 0};
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!payload.empty()) std::memcpy(bytes.data() + sizeof header, payload.data(), payload.size());
  return bytes;
}

// An acknowledgement (error 0) or a failure, with the kernel's text when there is one.
inline Datagram Acknowledge(const nlmsghdr& request, int error, const char* text = nullptr) {
  std::array<uint8_t, 256> payload{};
  const nlmsgerr body = {.error = -error, .msg = request};
  std::memcpy(payload.data(), &body, sizeof body);
  size_t size = sizeof body;
  uint16_t flags = NLM_F_CAPPED;
  if (text != nullptr) {
    netlink::MessageWriter writer(std::span(payload).subspan(size));
    writer.PutString(NLMSGERR_ATTR_MSG, text);
    size += writer.length();
    flags |= NLM_F_ACK_TLVS;
  }
  return Message(NLMSG_ERROR, flags, request.nlmsg_seq, std::span(payload).first(size));
}

struct Reply {
  // An errno to answer with; 0 = success.
  int error = 0;
  // Messages beside the acknowledgement: the answer to a question, the parts of a dump.
  std::vector<Datagram> datagrams = {};
  const char* text = nullptr;
};

// Decides on each message. `number` counts the messages of all sends.
using Handler =
    std::function<Reply(const nlmsghdr& header, std::span<const uint8_t> payload, size_t number)>;

struct Kernel {
  Handler handler;
  // Answers the receive queue holds before it loses.
  size_t capacity = 1 << 20;
  size_t message_limit = 1 << 20;
  int send_error = 0;
  size_t sends = 0;
  size_t received = 0;
  // Sockets open now.
  size_t open = 0;
};

class FakeTransport final : public netlink::Transport {
 public:
  explicit FakeTransport(Kernel& kernel) : kernel_(kernel) { kernel_.open++; }
  ~FakeTransport() override { kernel_.open--; }

  int Send(std::span<const uint8_t> bytes) override {
    kernel_.sends++;
    if (kernel_.send_error != 0) return kernel_.send_error;
    netlink::ForEachMessage(bytes, [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
      const Reply reply = kernel_.handler(header, payload, kernel_.received++);
      for (const Datagram& datagram : reply.datagrams) Queue(datagram);
      const bool asked = (header.nlmsg_flags & NLM_F_ACK) != 0;
      if (reply.error != 0 || asked) Queue(Acknowledge(header, reply.error, reply.text));
    });
    return 0;
  }

  int Receive(bool, std::vector<std::span<const uint8_t>>& datagrams) override {
    datagrams.clear();
    if (std::exchange(overflow_reported_, false)) return ENOBUFS;
    current_.clear();
    while (!queue_.empty() && current_.size() < netlink::kDatagramsAtOnce) {
      current_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    if (queue_.empty()) congested_ = false;
    if (current_.empty()) return EAGAIN;
    for (const Datagram& datagram : current_) datagrams.emplace_back(datagram);
    return 0;
  }

  [[nodiscard]] size_t MessageLimit() const override { return kernel_.message_limit; }

  void Queue(Datagram datagram) {
    if (congested_ || queue_.size() >= kernel_.capacity) {
      if (!congested_) overflow_reported_ = true;
      congested_ = true;
      return;
    }
    queue_.push_back(std::move(datagram));
  }

 private:
  Kernel& kernel_;
  std::deque<Datagram> queue_;
  std::vector<Datagram> current_;
  bool congested_ = false;
  bool overflow_reported_ = false;
};

inline netlink::TransportFactory Open(Kernel& kernel) {
  return [&kernel](int) { return netlink::Opened{std::make_unique<FakeTransport>(kernel), 0}; };
}

// The answer to CTRL_CMD_GETFAMILY.
inline Reply FamilyReply(const nlmsghdr& request, uint16_t id) {
  std::array<uint8_t, 64> payload{};
  netlink::MessageWriter writer(payload);
  const genlmsghdr header = {.cmd = CTRL_CMD_NEWFAMILY, .version = 2, .reserved = 0};
  writer.Raw(&header, sizeof header);
  writer.PutString(CTRL_ATTR_FAMILY_NAME, "IPVS");
  writer.PutU16(CTRL_ATTR_FAMILY_ID, id);
  return {.datagrams = {Message(GENL_ID_CTRL, 0, request.nlmsg_seq,
                                std::span(payload).first(writer.length()))}};
}

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_FAKE_KERNEL_H_
