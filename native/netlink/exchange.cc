#include "native/netlink/exchange.h"

#include <algorithm>
#include <cerrno>

#include "native/wire.h"

namespace proxier::netlink {
namespace {

// Texts are for people: the first few failures of a batch tell the story.
constexpr size_t kTextLimit = 64;
// A socket can be told of an overflow and then hold old answers; after this many rounds something
// else is wrong.
constexpr int kDrainRounds = 1 << 20;

}  // namespace

Answer ReadAnswer(const nlmsghdr& header, std::span<const uint8_t> payload) {
  nlmsgerr error;
  if (payload.size() < sizeof error) return {.code = kUnknown, .text = {}};
  std::memcpy(&error, payload.data(), sizeof error);
  // No errno: no answer that could be believed.
  const bool believable = error.error <= 0 && error.error != INT32_MIN;
  Answer answer = {.code = believable ? -error.error : kUnknown, .text = {}};
  if ((header.nlmsg_flags & NLM_F_ACK_TLVS) == 0) return answer;
  size_t at = sizeof error;
  if ((header.nlmsg_flags & NLM_F_CAPPED) == 0 && error.msg.nlmsg_len > sizeof(nlmsghdr)) {
    at += NLMSG_ALIGN(error.msg.nlmsg_len - sizeof(nlmsghdr));
  }
  if (at > payload.size()) return answer;
  answer.text = Attributes<NLMSGERR_ATTR_MSG + 1>(payload.subspan(at))[NLMSGERR_ATTR_MSG].String();
  return answer;
}

MessageWriter& Exchange::Begin(uint32_t operation, uint16_t type, uint16_t flags) {
  pending_ = {.offset = writer_.length(), .operation = operation};
  writer_.BeginMessage(type, flags, 0);
  return writer_;
}

bool Exchange::End() {
  if (!writer_.EndMessage()) return false;
  messages_.push_back(pending_);
  return true;
}

void Exchange::Drop() { writer_.DropMessage(); }

void Exchange::Clear() {
  messages_.clear();
  writer_.Reset();
}

void Exchange::Fail(std::span<int32_t> results, int32_t code) const {
  for (const Message& message : messages_) results[message.operation] = code;
}

bool Exchange::AllAnswered(std::span<const int32_t> results, int32_t code) const {
  return std::all_of(messages_.begin(), messages_.end(),
                     [&](const Message& message) { return results[message.operation] == code; });
}

void Exchange::Flush(Transport& transport, std::span<int32_t> results,
                     std::vector<OperationText>& texts, ExchangeStats& stats) {
  if (messages_.empty()) return;
  const auto count = static_cast<uint32_t>(messages_.size());
  const uint32_t first = transport.ReserveSequences(count);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t sequence = first + i;
    std::memcpy(buffer_.get() + messages_[i].offset + offsetof(nlmsghdr, nlmsg_seq), &sequence,
                sizeof sequence);
  }
  // Failures always answer, successes only when asked: the last message's answer says that all
  // answers are in.
  nlmsghdr last;
  std::memcpy(&last, buffer_.get() + messages_.back().offset, sizeof last);
  last.nlmsg_flags |= NLM_F_ACK;
  std::memcpy(buffer_.get() + messages_.back().offset, &last, sizeof last);

  stats.messages += count;
  stats.round_trips++;
  const int error = transport.Send({buffer_.get(), writer_.length()});
  if (error != 0) {
    Fail(results, error);
    return;
  }
  Drain(transport, first, results, texts);
}

void Exchange::Resend(Transport& transport, uint16_t type, std::span<int32_t> results,
                      std::vector<OperationText>& texts, ExchangeStats& stats) {
  for (const Message& message : messages_) {
    std::memcpy(buffer_.get() + message.offset + offsetof(nlmsghdr, nlmsg_type), &type,
                sizeof type);
  }
  Flush(transport, results, texts, stats);
}

void Exchange::Drain(Transport& transport, uint32_t first, std::span<int32_t> results,
                     std::vector<OperationText>& texts) {
  const auto count = static_cast<uint32_t>(messages_.size());
  // Answers come in order, and an overflow of the receive buffer loses all that follow it: what was
  // answered, and everything before it, is known; the rest is not.
  uint32_t known = 0;
  for (int round = 0; round < kDrainRounds && known < count; round++) {
    const int error = transport.Receive(false, datagrams_);
    if (error == ENOBUFS) continue;
    if (error != 0) break;
    for (const std::span<const uint8_t> datagram : datagrams_) {
      ForEachMessage(datagram, [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
        // An answer to an earlier send wraps to a large number.
        const uint32_t index = header.nlmsg_seq - first;
        if (header.nlmsg_type != NLMSG_ERROR || index >= count || index < known) return;
        for (; known < index; known++) results[messages_[known].operation] = 0;
        Answer answer = ReadAnswer(header, payload);
        results[messages_[index].operation] = answer.code;
        known = index + 1;
        if (answer.code != 0 && !answer.text.empty() && texts.size() < kTextLimit) {
          texts.push_back({messages_[index].operation, std::move(answer.text)});
        }
      });
    }
  }
  for (; known < count; known++) results[messages_[known].operation] = kUnknown;
}

int32_t Ask(Transport& transport, std::span<uint8_t> request,
            const std::function<void(std::span<const uint8_t>)>& visit, std::string* text) {
  nlmsghdr sent;
  if (request.size() < sizeof sent) return EINVAL;
  std::memcpy(&sent, request.data(), sizeof sent);
  const int error = transport.Send(request);
  if (error != 0) return error;
  std::vector<std::span<const uint8_t>> datagrams;
  int32_t result = kUnknown;
  for (int round = 0; round < kDrainRounds && result == kUnknown; round++) {
    const int received = transport.Receive(false, datagrams);
    if (received == ENOBUFS) continue;
    if (received != 0) return received == EAGAIN ? kUnknown : received;
    for (const std::span<const uint8_t> datagram : datagrams) {
      ForEachMessage(datagram, [&](const nlmsghdr& header, std::span<const uint8_t> payload) {
        if (header.nlmsg_seq != sent.nlmsg_seq) return;
        if (header.nlmsg_type == NLMSG_ERROR) {
          Answer answer = ReadAnswer(header, payload);
          result = answer.code;
          if (text != nullptr) *text = std::move(answer.text);
        } else if (header.nlmsg_type >= NLMSG_MIN_TYPE) {
          visit(payload);
          if ((sent.nlmsg_flags & NLM_F_ACK) == 0) result = 0;
        }
      });
    }
  }
  return result;
}

}  // namespace proxier::netlink
