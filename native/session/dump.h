#ifndef IPVS_PROXIER_SESSION_DUMP_H_
#define IPVS_PROXIER_SESSION_DUMP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "native/conntrack/codec.h"
#include "native/ipset/codec.h"
#include "native/netlink/transport.h"

namespace proxier {

enum class DumpKind : uint8_t {
  kServices = 1,
  kDestinations = 2,
  kSets = 3,
  kEntries = 4,
  kLinks = 5,
  kAddresses = 6,
  kServicesWithStatistics = 10,
  kDestinationsWithStatistics = 11,
  kService = 12,
  kServiceWithStatistics = 13,
  kTimeouts = 14,
  kInfo = 15,
  // Services with their destinations behind them: see native/ipvs/readback.h.
  kTable = 16,
  kTableByNetlink = 17,
  kTableWithStatistics = 18,
  kLocalRoutes = 30,
  // Not a dump: what changes from now on, see native/session/monitor.h.
  kChanges = 31,
  kConnections = 40,
};

// What a dump says instead of records, beside errnos, kUnknown and kAbsent.
inline constexpr int32_t kInterrupted = -3;  // Things changed while it was read: read again.

// Transports that have finished a dump and can take another, by netlink protocol. One dump at a
// time is all the kernel allows each.
class TransportPool {
 public:
  std::unique_ptr<netlink::Transport> Take(int protocol);
  void Give(int protocol, std::unique_ptr<netlink::Transport> transport);

  // A generic netlink family that was loaded anew has another number, and the old one answers
  // ENOENT. Whoever opens the next dump asks for the number again.
  void NoteFamilyGone() { family_gone_ = true; }
  bool TakeFamilyGone() { return std::exchange(family_gone_, false); }

 private:
  bool family_gone_ = false;
  std::map<int, std::vector<std::unique_ptr<netlink::Transport>>> idle_;
};

// Records, one slice after another.
class Slices {
 public:
  Slices() = default;
  Slices(const Slices&) = delete;
  Slices& operator=(const Slices&) = delete;
  virtual ~Slices() = default;

  // Appends records. 0; when nothing was appended, 0 is the end. Otherwise an errno, kUnknown or
  // kInterrupted (at the end only), and then it is over too.
  virtual int32_t Next(std::vector<uint8_t>& out) = 0;
};

// A dump in progress, on a transport of its own. Dropped half way, the transport is closed: its
// queue still holds the rest.
class Dump : public Slices {
 public:
  struct Source {
    DumpKind kind;
    int protocol;
    // AF_INET or AF_INET6 of the service, for kDestinations.
    uint16_t family;
    uint32_t sequence;
    // The owner's protocol number, 0 = any, for kLocalRoutes.
    uint8_t owner = 0;
    // For kConnections.
    conntrack::Filter filter = {};
  };
  Dump(Source source, std::unique_ptr<netlink::Transport> transport,
       std::shared_ptr<TransportPool> pool)
      : source_(source), transport_(std::move(transport)), pool_(std::move(pool)) {}

  // Appends the records that one receive brought.
  int32_t Next(std::vector<uint8_t>& out) override;

 private:
  void Decode(std::span<const uint8_t> payload, RecordWriter& out);
  void Finish(int32_t error);

  Source source_;
  std::unique_ptr<netlink::Transport> transport_;
  std::shared_ptr<TransportPool> pool_;
  std::vector<std::span<const uint8_t>> datagrams_;
  ipset::EntriesReader entries_;
  bool interrupted_ = false;
  // Nothing more will come.
  bool ended_ = false;
  // It ended with the kernel's last word, so the transport is clean and waits to be given back.
  bool finished_ = false;
  int32_t error_ = 0;
};

struct OpenedDump {
  std::unique_ptr<Slices> dump;
  int32_t error = 0;
};

// Where a dump's request goes: the netlink protocol, and the number that the family has there.
struct DumpChannel {
  int protocol;
  uint16_t id;
};

// Sends the request for a dump, on an idle transport or a new one.
OpenedDump StartDump(const netlink::TransportFactory& open,
                     const std::shared_ptr<TransportPool>& idle, DumpChannel channel, DumpKind kind,
                     std::span<const uint8_t> argument);

}  // namespace proxier

#endif  // IPVS_PROXIER_SESSION_DUMP_H_
