#ifndef IPVS_PROXIER_SESSION_DUMP_H_
#define IPVS_PROXIER_SESSION_DUMP_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "native/ipset/codec.h"
#include "native/netlink/transport.h"

namespace proxier {

enum class DumpKind : uint8_t { kServices = 1, kDestinations, kSets, kEntries, kLinks, kAddresses };

// What a dump says instead of records, beside errnos, kUnknown and kAbsent.
inline constexpr int32_t kInterrupted = -3;  // Things changed while it was read: read again.

// Transports that have finished a dump and can take another, by netlink protocol. One dump at a
// time is all the kernel allows each.
class TransportPool {
 public:
  std::unique_ptr<netlink::Transport> Take(int protocol);
  void Give(int protocol, std::unique_ptr<netlink::Transport> transport);

 private:
  std::map<int, std::vector<std::unique_ptr<netlink::Transport>>> idle_;
};

// A dump in progress, on a transport of its own. Dropped half way, the transport is closed: its
// queue still holds the rest.
class Dump {
 public:
  struct Source {
    DumpKind kind;
    int protocol;
    // AF_INET or AF_INET6 of the service, for kDestinations.
    uint16_t family;
    uint32_t sequence;
  };
  Dump(Source source, std::unique_ptr<netlink::Transport> transport,
       std::shared_ptr<TransportPool> pool)
      : source_(source), transport_(std::move(transport)), pool_(std::move(pool)) {}

  // Appends the records that one receive brought. 0; when nothing was appended, 0 is the end.
  // Otherwise an errno, kUnknown, kInterrupted (at the end only), and then the dump is over too.
  int32_t Next(std::vector<uint8_t>& out);

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

}  // namespace proxier

#endif  // IPVS_PROXIER_SESSION_DUMP_H_
