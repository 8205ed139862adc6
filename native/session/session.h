// A session: sockets of one network namespace, batches run on them, dumps read from sockets of
// their own. Knows nothing of Node.
#ifndef IPVS_PROXIER_SESSION_SESSION_H_
#define IPVS_PROXIER_SESSION_SESSION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "native/ipset/codec.h"
#include "native/ipvs/readback.h"
#include "native/ipvs/table_text.h"
#include "native/netlink/exchange.h"
#include "native/netlink/transport.h"
#include "native/session/dump.h"

namespace proxier {

struct RunReport {
  netlink::ExchangeStats stats;
  // The kernel's own words on some of the failures.
  std::vector<netlink::OperationText> texts;
};

class Session {
 public:
  // `table`: the text of /proc/net/ip_vs of the same network namespace; none by default.
  explicit Session(netlink::TransportFactory open, ipvs::TableText table = {});

  // Runs the records in order. results[i] becomes what the i-th one came to (see wire.h): 0, an
  // errno, kUnknown or kAbsent; EBADMSG for a record that is not a whole operation, and for all
  // behind one whose length lies.
  void Run(std::span<const uint8_t> records, std::span<int32_t> results, RunReport& report);

  using OpenedDump = ::proxier::OpenedDump;
  // Starts a dump. `argument`: a record that starts with a service key for kDestinations and
  // kService, one that is a set's name for kEntries.
  OpenedDump OpenDump(DumpKind kind, std::span<const uint8_t> argument);

 private:
  // A netlink family as a batch uses it.
  struct Channel {
    int protocol;
    std::unique_ptr<netlink::Transport> transport;
    // Family number (IPVS) or protocol version (ipset); 0 = not asked yet.
    uint16_t id = 0;
  };
  class Runner;

  // 0 when the channel is open and its family known; otherwise what every operation on it comes to.
  int32_t Prepare(Channel& channel);
  int32_t Resolve(Channel& channel);
  Channel& ChannelOf(DumpKind kind);
  OpenedDump OpenMonitor();

  netlink::TransportFactory open_;
  ipvs::TableText table_;
  Channel ipvs_;
  Channel ipset_;
  Channel route_;
  Channel conntrack_;
  // Revisions of set types, by type and family.
  std::map<std::pair<SetType, uint8_t>, ipset::Revisions> revisions_;
  netlink::Exchange exchange_;
  std::shared_ptr<TransportPool> idle_;
  std::shared_ptr<ipvs::ReadbackPool> readbacks_ = std::make_shared<ipvs::ReadbackPool>();
};

}  // namespace proxier

#endif  // IPVS_PROXIER_SESSION_SESSION_H_
