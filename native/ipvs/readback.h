// All services with their destinations, read the fastest way that tells the truth: services by a
// netlink dump, destinations from the text of /proc where that says all there is, and by a netlink
// dump of their own where it does not.
#ifndef IPVS_PROXIER_IPVS_READBACK_H_
#define IPVS_PROXIER_IPVS_READBACK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "native/ipvs/table_text.h"
#include "native/session/dump.h"

namespace proxier::ipvs {

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
  Readback(OpenDump open, TableText text, bool statistics)
      : open_(std::move(open)), text_(std::move(text)), statistics_(statistics) {}

  // Lists the services. 0, or what Next would say.
  int32_t Start();

  // Service records, each followed by the records of its destinations.
  int32_t Next(std::vector<uint8_t>& out) override;

 private:
  // Service records by key.
  using Listing = std::map<ServiceKey, std::vector<uint8_t>>;

  int32_t Read(DumpKind kind, std::span<const uint8_t> key, std::vector<uint8_t>& out) const;
  int32_t List(Listing& listing) const;
  // Services of any of the listings, each asked for by name.
  int32_t AskForEach(const Listing& seen);
  [[nodiscard]] bool TableAgrees(const Listing& listing) const;
  int32_t Append(const ServiceKey& key, std::span<const uint8_t> service);
  int32_t AppendByNetlink(std::span<const uint8_t> service);
  void AppendFromTable(const TableService& service);

  OpenDump open_;
  TableText text_;
  bool statistics_;
  TableParser table_;
  std::map<ServiceKey, size_t> table_index_;
  Listing listing_;
  Listing::const_iterator at_;
  // Records on their way out.
  std::vector<uint8_t> pending_;
  size_t pending_at_ = 0;
};

}  // namespace proxier::ipvs

#endif  // IPVS_PROXIER_IPVS_READBACK_H_
