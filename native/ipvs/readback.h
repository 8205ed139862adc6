// All services with their destinations, read the fastest way that tells the truth: services by a
// netlink dump, destinations from the text of /proc where that says all there is, and by a netlink
// dump of their own where it does not.
#ifndef IPVS_PROXIER_IPVS_READBACK_H_
#define IPVS_PROXIER_IPVS_READBACK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "native/ipvs/table_text.h"
#include "native/session/dump.h"

namespace proxier::ipvs {

// Services as a dump gave them, by key.
class Listing {
 public:
  struct Service {
    ServiceKey key;
    // Its record is at this place of the records.
    uint32_t at;
    uint16_t length;
  };

  void Clear();
  // The records of a dump are appended to these, and then Index is called.
  std::vector<uint8_t>& records() { return records_; }
  // Sorts; of a service that came twice the later record counts.
  void Index();
  [[nodiscard]] bool Contains(const ServiceKey& key) const;
  [[nodiscard]] bool SameKeys(const Listing& other) const;
  [[nodiscard]] const std::vector<Service>& services() const { return services_; }
  [[nodiscard]] std::span<const uint8_t> Record(const Service& service) const {
    return std::span(records_).subspan(service.at, service.length);
  }
  [[nodiscard]] size_t bytes() const {
    return records_.capacity() + services_.capacity() * sizeof(Service);
  }

 private:
  std::vector<uint8_t> records_;
  std::vector<Service> services_;
};

// What a readback needs, kept from one to the next: fresh memory costs a page fault for every 4 KB.
struct ReadbackMemory {
  TableParser table;
  // Services of the text that are no firewall marks, by key.
  std::vector<std::pair<ServiceKey, uint32_t>> table_index;
  Listing listing;
  // Records on their way out.
  std::vector<uint8_t> pending;

  void Clear();
  [[nodiscard]] size_t bytes() const;
};

// Of one session, whose readbacks may outlive it.
class ReadbackPool {
 public:
  std::unique_ptr<ReadbackMemory> Take();
  void Give(std::unique_ptr<ReadbackMemory> memory);

 private:
  std::unique_ptr<ReadbackMemory> idle_;
};

using OpenDump = std::function<OpenedDump(DumpKind kind, std::span<const uint8_t> key)>;

// Both the dumps and the text go on by number of entry from one piece to the next: what is removed
// meanwhile makes them skip a service, what is added makes them repeat one. A skipped service
// means that another one was reported and then removed, so a listing that names the same services
// as whatever was read after it skipped none. Start() reads until there is such a listing. A
// service that existed all the time is then reported once; one that came or went meanwhile may be
// reported or not.
class Readback : public Slices {
 public:
  // Without a text everything comes by netlink.
  Readback(OpenDump open, TableText text, bool statistics, std::shared_ptr<ReadbackPool> pool)
      : open_(std::move(open)),
        text_(std::move(text)),
        statistics_(statistics),
        pool_(std::move(pool)),
        memory_(pool_->Take()) {}
  ~Readback() override { pool_->Give(std::move(memory_)); }

  // Lists the services. 0, or what Next would say.
  int32_t Start();

  // Service records, each followed by the records of its destinations.
  int32_t Next(std::vector<uint8_t>& out) override;

 private:
  // Services of listings that did not agree, each with a record that starts with its key.
  using Seen = std::map<ServiceKey, std::vector<uint8_t>>;

  int32_t Read(DumpKind kind, std::span<const uint8_t> key, std::vector<uint8_t>& out) const;
  int32_t List(Listing& listing) const;
  void IndexTable();
  // Each that is missing is asked for by name.
  int32_t AskForEach(const Seen& seen);
  [[nodiscard]] bool TableAgrees() const;
  [[nodiscard]] const TableService* InTable(const ServiceKey& key) const;
  int32_t Append(const Listing::Service& service);
  int32_t AppendByNetlink(std::span<const uint8_t> service);
  void AppendFromTable(const TableService& service);

  OpenDump open_;
  TableText text_;
  bool statistics_;
  std::shared_ptr<ReadbackPool> pool_;
  std::unique_ptr<ReadbackMemory> memory_;
  // The next service of the listing.
  size_t at_ = 0;
  // Pending records are handed out up to here.
  size_t pending_at_ = 0;
};

}  // namespace proxier::ipvs

#endif  // IPVS_PROXIER_IPVS_READBACK_H_
