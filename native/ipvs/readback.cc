#include "native/ipvs/readback.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

namespace proxier::ipvs {
namespace {

// About what one receive of a dump brings.
constexpr size_t kSliceBytes = 64 * 1024;
// Listings that differ from one another before the services are asked for by name.
constexpr int kListings = 6;
// One part of a dump of destinations holds more than this many, and is made in one go.
constexpr size_t kPartDestinations = 64;
constexpr int kDestinationReadings = 4;
constexpr size_t kFlagsOffset = kHeaderBytes + kKeyBytes;
constexpr uint8_t kPersistent = 1;

uint16_t RecordLength(std::span<const uint8_t> records, size_t at) {
  uint16_t length = 0;
  std::memcpy(&length, records.data() + at, sizeof length);
  return LittleEndian(length);
}

ServiceKey KeyOf(std::span<const uint8_t> service) {
  ServiceKey key{};
  std::memcpy(key.data(), service.data() + kHeaderBytes, key.size());
  return key;
}

bool IsMark(const ServiceKey& key) { return key[1] == 0; }

// What names a destination within its service: family, port and address.
std::set<std::vector<uint8_t>> DestinationKeys(std::span<const uint8_t> records) {
  std::set<std::vector<uint8_t>> keys;
  for (size_t at = 0; at < records.size(); at += RecordLength(records, at)) {
    const uint8_t* fields = records.data() + at + kHeaderBytes;
    std::vector<uint8_t> key = {fields[0], fields[2], fields[3]};
    key.insert(key.end(), fields + 16, fields + 16 + kAddressBytes);
    keys.insert(std::move(key));
  }
  return keys;
}

size_t CountRecords(std::span<const uint8_t> records) {
  size_t count = 0;
  for (size_t at = 0; at < records.size(); at += RecordLength(records, at)) count++;
  return count;
}

}  // namespace

int32_t Readback::Read(DumpKind kind, std::span<const uint8_t> key,
                       std::vector<uint8_t>& out) const {
  OpenedDump opened = open_(kind, key);
  if (opened.dump == nullptr) return opened.error;
  for (;;) {
    const size_t before = out.size();
    const int32_t error = opened.dump->Next(out);
    if (error != 0 || out.size() == before) return error;
  }
}

int32_t Readback::List(Listing& listing) const {
  std::vector<uint8_t> records;
  const int32_t error =
      Read(statistics_ ? DumpKind::kServicesWithStatistics : DumpKind::kServices, {}, records);
  if (error != 0) return error;
  for (size_t at = 0; at < records.size(); at += RecordLength(records, at)) {
    const auto service = std::span(records).subspan(at, RecordLength(records, at));
    listing[KeyOf(service)].assign(service.begin(), service.end());
  }
  return 0;
}

bool Readback::TableAgrees(const Listing& listing) const {
  // The text does not tell an IPv4 service from an IPv6 one of the same mark: those are counted.
  std::multiset<ServiceKey> marks;
  size_t others = 0;
  for (const auto& [key, service] : listing) {
    if (IsMark(key)) {
      ServiceKey mark = key;
      mark[0] = 0;
      marks.insert(mark);
    } else {
      if (!table_index_.contains(key)) return false;
      others++;
    }
  }
  std::multiset<ServiceKey> table_marks;
  for (const TableService& service : table_.services()) {
    if (IsMark(service.key)) table_marks.insert(service.key);
  }
  return others == table_index_.size() && marks == table_marks;
}

int32_t Readback::Start() {
  int32_t error = List(listing_);
  if (error != 0) return error;
  bool agreed = false;
  if (text_ && text_([this](std::span<const char> piece) { table_.Feed(piece); })) {
    for (size_t i = 0; i < table_.services().size(); i++) {
      const ServiceKey& key = table_.services()[i].key;
      if (!IsMark(key)) table_index_[key] = i;
    }
    agreed = TableAgrees(listing_);
  }
  Listing seen;
  for (int round = 1; !agreed && round < kListings; round++) {
    Listing next;
    error = List(next);
    if (error != 0) return error;
    agreed = next.size() == listing_.size() &&
             std::equal(next.begin(), next.end(), listing_.begin(),
                        [](const auto& a, const auto& b) { return a.first == b.first; });
    seen.merge(std::exchange(listing_, std::move(next)));
  }
  if (!agreed) {
    for (const auto& [key, index] : table_index_) {
      std::vector<uint8_t> id(kHeaderBytes, 0);
      id.insert(id.end(), key.begin(), key.end());
      seen.emplace(key, std::move(id));
    }
    error = AskForEach(seen);
    if (error != 0) return error;
  }
  at_ = listing_.cbegin();
  return 0;
}

int32_t Readback::AskForEach(const Listing& seen) {
  for (const auto& [key, service] : seen) {
    if (listing_.contains(key)) continue;
    std::vector<uint8_t> found;
    const int32_t error = Read(
        statistics_ ? DumpKind::kServiceWithStatistics : DumpKind::kService, service, found);
    if (error == ESRCH) continue;
    if (error != 0) return error;
    if (!found.empty()) listing_[key] = std::move(found);
  }
  return 0;
}

int32_t Readback::Next(std::vector<uint8_t>& out) {
  if (pending_at_ == pending_.size()) {
    pending_.clear();
    pending_at_ = 0;
    while (at_ != listing_.cend() && pending_.size() < kSliceBytes) {
      const int32_t error = Append(at_->first, at_->second);
      if (error != 0) {
        at_ = listing_.cend();
        pending_.clear();
        return error;
      }
      ++at_;
    }
  }
  size_t end = pending_at_;
  while (end < pending_.size() && end - pending_at_ < kSliceBytes) {
    end += RecordLength(pending_, end);
  }
  const auto slice = std::span(pending_).subspan(pending_at_, end - pending_at_);
  out.insert(out.end(), slice.begin(), slice.end());
  pending_at_ = end;
  return 0;
}

int32_t Readback::Append(const ServiceKey& key, std::span<const uint8_t> service) {
  pending_.insert(pending_.end(), service.begin(), service.end());
  const auto found = table_index_.find(key);
  const bool persistent = (service[kFlagsOffset] & kPersistent) != 0;
  if (found == table_index_.end() || persistent || !table_.services()[found->second].plain) {
    return AppendByNetlink(service);
  }
  AppendFromTable(table_.services()[found->second]);
  return 0;
}

int32_t Readback::AppendByNetlink(std::span<const uint8_t> service) {
  const DumpKind kind =
      statistics_ ? DumpKind::kDestinationsWithStatistics : DumpKind::kDestinations;
  std::vector<uint8_t> records;
  int32_t error = Read(kind, service, records);
  if (error != 0) return error;
  // Parts of a dump of destinations are joined by number too: those of a large service are read
  // until two readings agree, or it changes all the time.
  bool agreed = CountRecords(records) <= kPartDestinations;
  for (int reading = 1; !agreed && reading < kDestinationReadings; reading++) {
    std::vector<uint8_t> again;
    error = Read(kind, service, again);
    if (error != 0) return error;
    agreed = CountRecords(again) == CountRecords(records) &&
             DestinationKeys(again) == DestinationKeys(records);
    records = std::move(again);
  }
  pending_.insert(pending_.end(), records.begin(), records.end());
  return 0;
}

void Readback::AppendFromTable(const TableService& service) {
  const auto destinations =
      std::span(table_.destinations()).subspan(service.first, service.count);
  RecordWriter writer(pending_);
  for (const TableDestination& destination : destinations) {
    writer.Begin(Opcode::kDestinationState);
    writer.U8(destination.family);
    writer.U8(0);
    writer.U16(destination.port);
    writer.U32(destination.weight);
    writer.U32(0);
    writer.U32(0);
    writer.Address(destination.address);
    writer.U32(0);
    writer.U32(destination.active);
    writer.U32(destination.inactive);
    writer.U32(0);
    writer.End();
  }
}

}  // namespace proxier::ipvs
