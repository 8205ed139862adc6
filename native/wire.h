// The flat records that cross the Node-API line. The layouts are described in lib/kernel/wire.ts,
// which this file mirrors.
#ifndef IPVS_PROXIER_WIRE_H_
#define IPVS_PROXIER_WIRE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace proxier {

enum class Opcode : uint8_t {
  kCreateService = 0x10,
  kUpdateService = 0x11,
  kEnsureService = 0x12,
  kRemoveService = 0x13,
  kCreateDestination = 0x14,
  kUpdateDestination = 0x15,
  kEnsureDestination = 0x16,
  kRemoveDestination = 0x17,
  kZeroService = 0x18,
  kZeroServices = 0x19,
  kFlushServices = 0x1a,
  kSetTimeouts = 0x1b,
  kCreateSet = 0x20,
  kEnsureSet = 0x21,
  kRemoveSet = 0x22,
  kFlushSet = 0x23,
  kSwapSets = 0x24,
  kAddEntry = 0x25,
  kRemoveEntry = 0x26,
  kRenameSet = 0x27,
  kTestEntry = 0x28,
  kEnsureLink = 0x30,
  kRemoveLink = 0x31,
  kAddAddress = 0x32,
  kRemoveAddress = 0x33,
  kEnsureAddress = 0x34,
  kAddLocalRoute = 0x35,
  kRemoveLocalRoute = 0x36,
  kRemoveConnection = 0x40,
  kConnectionFilter = 0x41,
  kServiceState = 0x80,
  kDestinationState = 0x81,
  kTimeoutsState = 0x86,
  kInfoState = 0x87,
  kSetState = 0x82,
  kEntryState = 0x83,
  kLinkState = 0x84,
  kAddressState = 0x85,
  kLocalRouteState = 0xa0,
  kChangesLost = 0xa1,
  kConnectionState = 0xb0,
};

enum class SetType : uint8_t {
  kOther = 0,
  kHashIp = 1,
  kHashNet = 2,
  kHashIpPort = 3,
  kHashIpPortIp = 4,
  kHashIpPortNet = 5,
  kHashNetIface = 6,
  kBitmapPort = 7,
};

// Header flag of service and destination records of a dump: ten 64-bit statistics follow.
inline constexpr uint8_t kHasStatistics = 1;

// Header flag of link and address records of a monitor: it was removed.
inline constexpr uint8_t kChangeRemoved = 1;
// Of an address, written or read back: AddressFlag of lib/kernel/wire.ts.
inline constexpr uint8_t kAddressNoDad = 1;
inline constexpr uint8_t kAddressNoPrefixRoute = 2;
inline constexpr uint8_t kAddressDeprecated = 4;
inline constexpr uint8_t kAddressTentative = 8;
inline constexpr uint8_t kAddressDadFailed = 16;

inline constexpr uint8_t kEntryPhysdev = 1;
inline constexpr uint8_t kEntryNomatch = 2;
inline constexpr uint8_t kEntryTimeout = 4;
inline constexpr uint8_t kEntryComment = 8;
// What a set keeps with its entries: flags of set records. kSetOther: something that has no place
// in a set record.
inline constexpr uint8_t kSetTimeout = 1;
inline constexpr uint8_t kSetComment = 2;
inline constexpr uint8_t kSetOther = 4;

// What became of an operation: 0 applied, positive the kernel's errno (ipset's own start at 4096),
// or one of these.
inline constexpr int32_t kUnknown = -1;  // Sent, and no answer was seen.
inline constexpr int32_t kAbsent = -2;   // The kernel has no such subsystem; nothing was done.

inline constexpr size_t kHeaderBytes = 4;
inline constexpr size_t kAddressBytes = 16;

inline uint16_t LittleEndian(uint16_t value) {
  if constexpr (std::endian::native == std::endian::little) return value;
  return __builtin_bswap16(value);
}
inline uint32_t LittleEndian(uint32_t value) {
  if constexpr (std::endian::native == std::endian::little) return value;
  return __builtin_bswap32(value);
}

// A batch may lie in memory that another thread sees too (lib/kernel/shared-room.ts). Nobody writes
// there before the answer; if somebody did, nonsense may be sent, and nothing outside may be read:
// a length is loaded once, and what was checked is what is used. A plain load the compiler may
// repeat.
inline uint8_t LoadOnce(const uint8_t* byte) { return __atomic_load_n(byte, __ATOMIC_RELAXED); }

// Reads the fields of one record. Reading past its end gives zeros and makes ok() false: check
// once, after the last field.
class RecordReader {
 public:
  explicit RecordReader(std::span<const uint8_t> record)
      : record_(record),
        at_(record.size() < kHeaderBytes ? record.size() : kHeaderBytes),
        ok_(record.size() >= kHeaderBytes),
        flags_(ok_ ? LoadOnce(&record[3]) : 0) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] uint8_t flags() const { return flags_; }

  uint8_t U8() {
    if (record_.size() == at_) {
      ok_ = false;
      return 0;
    }
    return LoadOnce(record_.data() + at_++);
  }
  uint16_t U16() {
    uint16_t value = 0;
    Take(&value, sizeof value);
    return LittleEndian(value);
  }
  uint32_t U32() {
    uint32_t value = 0;
    Take(&value, sizeof value);
    return LittleEndian(value);
  }
  // An address in its 16 bytes; 16 zero bytes when the record is too short.
  std::span<const uint8_t> Address() {
    static constexpr uint8_t kZero[kAddressBytes] = {};
    if (record_.size() - at_ < kAddressBytes) {
      ok_ = false;
      return kZero;
    }
    at_ += kAddressBytes;
    return record_.subspan(at_ - kAddressBytes, kAddressBytes);
  }
  std::string_view String() {
    const size_t length = U8();
    if (record_.size() - at_ < length) {
      ok_ = false;
      return {};
    }
    at_ += length;
    return {reinterpret_cast<const char*>(record_.data()) + at_ - length, length};
  }

 private:
  void Take(void* to, size_t size) {
    if (record_.size() - at_ < size) {
      ok_ = false;
      return;
    }
    std::memcpy(to, record_.data() + at_, size);
    at_ += size;
  }

  std::span<const uint8_t> record_;
  size_t at_;
  bool ok_;
  uint8_t flags_;
};

// Appends records, for dumps and tests.
class RecordWriter {
 public:
  explicit RecordWriter(std::vector<uint8_t>& out) : out_(out) {}

  void Begin(Opcode opcode, uint8_t flags = 0) {
    start_ = out_.size();
    U16(0);
    U8(static_cast<uint8_t>(opcode));
    U8(flags);
  }
  void U8(uint8_t value) { out_.push_back(value); }
  void U16(uint16_t value) {
    value = LittleEndian(value);
    Bytes({reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void U32(uint32_t value) {
    value = LittleEndian(value);
    Bytes({reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void U64(uint64_t value) {
    U32(static_cast<uint32_t>(value));
    U32(static_cast<uint32_t>(value >> 32));
  }
  void Bytes(std::span<const uint8_t> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  // Sixteen bytes, of which `bytes` are the first.
  void Address(std::span<const uint8_t> bytes) {
    const size_t size = bytes.size() < kAddressBytes ? bytes.size() : kAddressBytes;
    Bytes(bytes.first(size));
    out_.insert(out_.end(), kAddressBytes - size, 0);
  }
  void String(std::string_view text) {
    text = text.substr(0, 255);
    U8(static_cast<uint8_t>(text.size()));
    Bytes({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  void End() {
    while (out_.size() % 4 != 0) out_.push_back(0);
    const uint16_t length = LittleEndian(static_cast<uint16_t>(out_.size() - start_));
    std::memcpy(out_.data() + start_, &length, sizeof length);
  }
  void Drop() { out_.resize(start_); }

 private:
  std::vector<uint8_t>& out_;
  size_t start_ = 0;
};

}  // namespace proxier

#endif  // IPVS_PROXIER_WIRE_H_
