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
// A pool keeps what a table of some 50,000 destinations takes.
constexpr size_t kKeptBytes = 4 << 20;

// The record of a destination of which the text says everything: 0x81 of lib/kernel/wire.ts.
struct PlainRecord {
  uint16_t length;
  uint8_t opcode;
  uint8_t flags;
  uint8_t family;
  uint8_t forward;
  uint16_t port;
  uint32_t weight;
  uint32_t upper;
  uint32_t lower;
  uint8_t address[kAddressBytes];
  uint32_t tunnel;
  uint32_t active;
  uint32_t inactive;
  uint32_t persistent;
};
constexpr size_t kPlainBytes = sizeof(PlainRecord);
static_assert(kPlainBytes == 52);

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

void Listing::Clear() {
  records_.clear();
  services_.clear();
}

void Listing::Index() {
  services_.clear();
  for (size_t at = 0; at < records_.size(); at += RecordLength(records_, at)) {
    const uint16_t length = RecordLength(records_, at);
    services_.push_back(
        {KeyOf(std::span(records_).subspan(at, length)), static_cast<uint32_t>(at), length});
  }
  std::sort(services_.begin(), services_.end(), [](const Service& a, const Service& b) {
    return a.key != b.key ? a.key < b.key : a.at > b.at;
  });
  const auto same = [](const Service& a, const Service& b) { return a.key == b.key; };
  services_.erase(std::unique(services_.begin(), services_.end(), same), services_.end());
}

bool Listing::Contains(const ServiceKey& key) const {
  const auto found = std::lower_bound(
      services_.begin(), services_.end(), key,
      [](const Service& service, const ServiceKey& wanted) { return service.key < wanted; });
  return found != services_.end() && found->key == key;
}

bool Listing::SameKeys(const Listing& other) const {
  return std::equal(services_.begin(), services_.end(), other.services_.begin(),
                    other.services_.end(),
                    [](const Service& a, const Service& b) { return a.key == b.key; });
}

void ReadbackMemory::Clear() {
  table.Clear();
  table_index.clear();
  listing.Clear();
  pending.clear();
}

size_t ReadbackMemory::bytes() const {
  return table.bytes() + table_index.capacity() * sizeof table_index[0] + listing.bytes() +
         pending.capacity();
}

std::unique_ptr<ReadbackMemory> ReadbackPool::Take() {
  return idle_ == nullptr ? std::make_unique<ReadbackMemory>() : std::move(idle_);
}

void ReadbackPool::Give(std::unique_ptr<ReadbackMemory> memory) {
  if (memory->bytes() > kKeptBytes) return;
  memory->Clear();
  idle_ = std::move(memory);
}

int32_t Readback::List(Listing& listing) const {
  const DumpKind kind = statistics_ ? DumpKind::kServicesWithStatistics : DumpKind::kServices;
  const int32_t error = Read(kind, {}, listing.records());
  if (error == 0) listing.Index();
  return error;
}

void Readback::IndexTable() {
  const std::vector<TableService>& services = memory_->table.services();
  auto& index = memory_->table_index;
  for (uint32_t i = 0; i < services.size(); i++) {
    if (!IsMark(services[i].key)) index.emplace_back(services[i].key, i);
  }
  // Of a service that came twice the later one counts.
  std::sort(index.begin(), index.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second > b.second;
  });
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  index.erase(std::unique(index.begin(), index.end(), same), index.end());
}

const TableService* Readback::InTable(const ServiceKey& key) const {
  const auto& index = memory_->table_index;
  const auto found = std::lower_bound(
      index.begin(), index.end(), key,
      [](const auto& entry, const ServiceKey& wanted) { return entry.first < wanted; });
  if (found == index.end() || found->first != key) return nullptr;
  return &memory_->table.services()[found->second];
}

bool Readback::TableAgrees() const {
  // The text does not tell an IPv4 service from an IPv6 one of the same mark: those are counted.
  std::vector<ServiceKey> marks;
  const auto& index = memory_->table_index;
  auto other = index.begin();
  for (const Listing::Service& service : memory_->listing.services()) {
    if (IsMark(service.key)) {
      marks.push_back(service.key);
      marks.back()[0] = 0;
    } else {
      if (other == index.end() || other->first != service.key) return false;
      ++other;
    }
  }
  std::vector<ServiceKey> table_marks;
  for (const TableService& service : memory_->table.services()) {
    if (IsMark(service.key)) table_marks.push_back(service.key);
  }
  std::sort(marks.begin(), marks.end());
  std::sort(table_marks.begin(), table_marks.end());
  return other == index.end() && marks == table_marks;
}

int32_t Readback::Start() {
  Listing& listing = memory_->listing;
  int32_t error = List(listing);
  if (error != 0) return error;
  bool agreed = false;
  if (text_ && text_([this](std::span<const char> piece) { memory_->table.Feed(piece); })) {
    IndexTable();
    agreed = TableAgrees();
  }
  if (agreed) return 0;
  Seen seen;
  for (int round = 1; !agreed && round < kListings; round++) {
    Listing next;
    error = List(next);
    if (error != 0) return error;
    agreed = next.SameKeys(listing);
    for (const Listing::Service& service : listing.services()) {
      const auto record = listing.Record(service);
      seen.try_emplace(service.key, record.begin(), record.end());
    }
    listing = std::move(next);
  }
  if (agreed) return 0;
  for (const auto& [key, index] : memory_->table_index) {
    std::vector<uint8_t> id(kHeaderBytes, 0);
    id.insert(id.end(), key.begin(), key.end());
    seen.emplace(key, std::move(id));
  }
  return AskForEach(seen);
}

int32_t Readback::AskForEach(const Seen& seen) {
  Listing& listing = memory_->listing;
  for (const auto& [key, service] : seen) {
    if (listing.Contains(key)) continue;
    const int32_t error = Read(statistics_ ? DumpKind::kServiceWithStatistics : DumpKind::kService,
                               service, listing.records());
    if (error != 0 && error != ESRCH) return error;
  }
  listing.Index();
  return 0;
}

int32_t Readback::Next(std::vector<uint8_t>& out) {
  std::vector<uint8_t>& pending = memory_->pending;
  const std::vector<Listing::Service>& services = memory_->listing.services();
  if (pending_at_ == pending.size()) {
    pending.clear();
    pending_at_ = 0;
    while (at_ < services.size() && pending.size() < kSliceBytes) {
      const int32_t error = Append(services[at_++]);
      if (error != 0) {
        at_ = services.size();
        pending.clear();
        return error;
      }
    }
  }
  size_t end = pending_at_;
  if (pending.size() - pending_at_ <= kSliceBytes) end = pending.size();
  while (end < pending.size() && end - pending_at_ < kSliceBytes) {
    end += RecordLength(pending, end);
  }
  const auto slice = std::span(pending).subspan(pending_at_, end - pending_at_);
  out.insert(out.end(), slice.begin(), slice.end());
  pending_at_ = end;
  return 0;
}

int32_t Readback::Append(const Listing::Service& service) {
  const auto record = memory_->listing.Record(service);
  memory_->pending.insert(memory_->pending.end(), record.begin(), record.end());
  const TableService* const found = InTable(service.key);
  const bool persistent = (record[kFlagsOffset] & kPersistent) != 0;
  if (found == nullptr || persistent || !found->plain) return AppendByNetlink(record);
  AppendFromTable(*found);
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
  memory_->pending.insert(memory_->pending.end(), records.begin(), records.end());
  return 0;
}

void Readback::AppendFromTable(const TableService& service) {
  const auto destinations =
      std::span(memory_->table.destinations()).subspan(service.first, service.count);
  std::vector<uint8_t>& pending = memory_->pending;
  size_t at = pending.size();
  // Thresholds, tunnel and persistent connections stay zero.
  pending.resize(at + destinations.size() * kPlainBytes);
  for (const TableDestination& destination : destinations) {
    PlainRecord record{};
    record.length = LittleEndian(static_cast<uint16_t>(kPlainBytes));
    record.opcode = static_cast<uint8_t>(Opcode::kDestinationState);
    record.family = destination.family;
    record.port = LittleEndian(destination.port);
    record.weight = LittleEndian(destination.weight);
    std::memcpy(record.address, destination.address.data(), sizeof record.address);
    record.active = LittleEndian(destination.active);
    record.inactive = LittleEndian(destination.inactive);
    std::memcpy(pending.data() + at, &record, sizeof record);
    at += sizeof record;
  }
}

}  // namespace proxier::ipvs
