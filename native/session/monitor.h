#ifndef IPVS_PROXIER_SESSION_MONITOR_H_
#define IPVS_PROXIER_SESSION_MONITOR_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "native/netlink/transport.h"
#include "native/session/dump.h"

namespace proxier {

// Links and addresses that change, as the kernel tells everybody who has joined (rtnetlink(7)
// multicast groups). Never waits: Next takes what has come, and appending nothing is no end.
class Monitor : public Slices {
 public:
  // The transport must be nobody else's.
  explicit Monitor(std::unique_ptr<netlink::Transport> transport)
      : transport_(std::move(transport)) {}

  // 0 or an errno.
  int Join();

  int32_t Next(std::vector<uint8_t>& out) override;

 private:
  std::unique_ptr<netlink::Transport> transport_;
  std::vector<std::span<const uint8_t>> datagrams_;
};

}  // namespace proxier

#endif  // IPVS_PROXIER_SESSION_MONITOR_H_
