// Netlink attributes: a bounds-checked reader on libnl's structures, and a writer into a buffer
// that holds many messages. (libnl's own nla_put_* write into one nl_msg per message; a batch is
// many messages in one buffer, so the writer is ours.)
#ifndef IPVS_PROXIER_NETLINK_ATTRIBUTES_H_
#define IPVS_PROXIER_NETLINK_ATTRIBUTES_H_

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netlink/attr.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace proxier::netlink {

// A value in a message: as many bytes as the kernel sent, at any alignment.
class Value {
 public:
  Value() = default;
  explicit Value(std::span<const uint8_t> bytes) : bytes_(bytes), present_(true) {}

  [[nodiscard]] bool present() const { return present_; }
  [[nodiscard]] std::span<const uint8_t> bytes() const { return bytes_; }
  // Zero when absent or of another size.
  [[nodiscard]] uint8_t U8() const { return Number<uint8_t>(); }
  [[nodiscard]] uint16_t U16() const { return Number<uint16_t>(); }
  [[nodiscard]] uint32_t U32() const { return Number<uint32_t>(); }
  [[nodiscard]] uint64_t U64() const { return Number<uint64_t>(); }
  [[nodiscard]] uint16_t Be16() const { return ntohs(Number<uint16_t>()); }
  [[nodiscard]] uint32_t Be32() const { return ntohl(Number<uint32_t>()); }
  // Up to the first NUL.
  [[nodiscard]] std::string_view String() const {
    const auto* text = reinterpret_cast<const char*>(bytes_.data());
    return bytes_.empty() ? std::string_view()
                          : std::string_view(text, strnlen(text, bytes_.size()));
  }

 private:
  template <typename T>
  [[nodiscard]] T Number() const {
    T value = 0;
    if (bytes_.size() >= sizeof value) std::memcpy(&value, bytes_.data(), sizeof value);
    return value;
  }

  std::span<const uint8_t> bytes_;
  bool present_ = false;
};

// Calls `visit(type, value)` for every attribute that lies wholly within `bytes`; stops at the
// first that does not.
template <typename Visit>
void ForEachAttribute(std::span<const uint8_t> bytes, Visit&& visit) {
  size_t at = 0;
  while (bytes.size() - at >= sizeof(nlattr)) {
    nlattr head;
    std::memcpy(&head, bytes.data() + at, sizeof head);
    if (!nla_ok(&head, static_cast<int>(bytes.size() - at))) return;
    const std::span<const uint8_t> payload =
        bytes.subspan(at + NLA_HDRLEN, head.nla_len - static_cast<size_t>(NLA_HDRLEN));
    visit(head.nla_type & NLA_TYPE_MASK, Value(payload));
    const size_t step = NLA_ALIGN(head.nla_len);
    if (step > bytes.size() - at) return;
    at += step;
  }
}

// The attributes of one level by type; of several with one type the last is kept.
template <size_t kCount>
class Attributes {
 public:
  explicit Attributes(std::span<const uint8_t> bytes) {
    ForEachAttribute(bytes, [this](int type, Value value) {
      if (static_cast<size_t>(type) < kCount) values_[static_cast<size_t>(type)] = value;
    });
  }
  explicit Attributes(const Value& nest) : Attributes(nest.bytes()) {}

  [[nodiscard]] const Value& operator[](size_t type) const { return values_[type]; }

 private:
  std::array<Value, kCount> values_;
};

// Writes messages and attributes into a buffer of fixed size. What does not fit sets overflowed()
// and is left out.
class MessageWriter {
 public:
  explicit MessageWriter(std::span<uint8_t> buffer) : buffer_(buffer) {}

  [[nodiscard]] size_t length() const { return length_; }
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  // What was written from there on.
  [[nodiscard]] std::span<const uint8_t> written(size_t from) const {
    return std::span<const uint8_t>(buffer_).subspan(from, length_ - from);
  }
  void Reset() {
    length_ = 0;
    overflowed_ = false;
  }

  void BeginMessage(uint16_t type, uint16_t flags, uint32_t sequence) {
    message_ = length_;
    overflowed_ = false;
    const nlmsghdr header = {.nlmsg_len = 0,
                             .nlmsg_type = type,
                             .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                             .nlmsg_seq = sequence,
                             .nlmsg_pid = 0};
    Raw(&header, sizeof header);
  }
  // False, and nothing left of the message, when it did not fit.
  bool EndMessage() {
    if (overflowed_) {
      length_ = message_;
      return false;
    }
    const auto length = static_cast<uint32_t>(length_ - message_);
    std::memcpy(buffer_.data() + message_, &length, sizeof length);
    return true;
  }
  void DropMessage() { length_ = message_; }
  [[nodiscard]] size_t message() const { return message_; }

  void Raw(const void* data, size_t size) {
    const size_t padded = NLA_ALIGN(size);
    if (buffer_.size() - length_ < padded) {
      overflowed_ = true;
      return;
    }
    if (size != 0) std::memcpy(buffer_.data() + length_, data, size);
    std::memset(buffer_.data() + length_ + size, 0, padded - size);
    length_ += padded;
  }

  void Put(uint16_t type, const void* data, size_t size) {
    const size_t length = NLA_HDRLEN + size;
    if (buffer_.size() - length_ < NLA_ALIGN(length)) {
      overflowed_ = true;
      return;
    }
    const nlattr head = {.nla_len = static_cast<uint16_t>(length), .nla_type = type};
    std::memcpy(buffer_.data() + length_, &head, sizeof head);
    length_ += NLA_HDRLEN;
    Raw(data, size);
  }
  void PutU8(uint16_t type, uint8_t value) { Put(type, &value, sizeof value); }
  void PutU16(uint16_t type, uint16_t value) { Put(type, &value, sizeof value); }
  void PutU32(uint16_t type, uint32_t value) { Put(type, &value, sizeof value); }
  void PutBe16(uint16_t type, uint16_t value) { PutU16(type, htons(value)); }
  void PutBe32(uint16_t type, uint32_t value) { PutU32(type, htonl(value)); }
  void PutBytes(uint16_t type, std::span<const uint8_t> bytes) {
    Put(type, bytes.data(), bytes.size());
  }
  // With the closing NUL. Names in records are at most 255 bytes.
  void PutString(uint16_t type, std::string_view text) {
    std::array<char, 256> copy{};
    const size_t size = text.size() < copy.size() - 1 ? text.size() : copy.size() - 1;
    std::memcpy(copy.data(), text.data(), size);
    Put(type, copy.data(), size + 1);
  }

  size_t BeginNest(uint16_t type) {
    const size_t at = length_;
    const nlattr head = {.nla_len = 0, .nla_type = static_cast<uint16_t>(type | NLA_F_NESTED)};
    Raw(&head, sizeof head);
    return at;
  }
  void EndNest(size_t at) {
    if (overflowed_) return;
    const auto length = static_cast<uint16_t>(length_ - at);
    std::memcpy(buffer_.data() + at, &length, sizeof length);
  }

 private:
  std::span<uint8_t> buffer_;
  size_t length_ = 0;
  size_t message_ = 0;
  bool overflowed_ = false;
};

}  // namespace proxier::netlink

#endif  // IPVS_PROXIER_NETLINK_ATTRIBUTES_H_
