// /proc/net/ip_vs: all services and destinations in one text, several times cheaper than a netlink
// dump for every service. It leaves out thresholds, tunnels, persistent connections, scheduler
// flags and statistics.
#ifndef IPVS_PROXIER_IPVS_TABLE_TEXT_H_
#define IPVS_PROXIER_IPVS_TABLE_TEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "native/wire.h"

namespace proxier::ipvs {

// Hands the text over piece by piece. False when it could not be read whole.
using TableText = std::function<bool(const std::function<void(std::span<const char>)>& sink)>;

// The text of the network namespace that the calling thread is in now. Reading it from a thread
// that has gone to another namespace since fails.
TableText OpenTableText();

// A service key as records have it. The text does not say the family of a firewall mark service:
// 0 stands for it.
inline constexpr size_t kKeyBytes = 24;
using ServiceKey = std::array<uint8_t, kKeyBytes>;

struct TableDestination {
  std::array<uint8_t, kAddressBytes> address;
  uint32_t weight;
  uint32_t active;
  uint32_t inactive;
  uint16_t port;
  uint8_t family;
};

struct TableService {
  ServiceKey key;
  // Its destinations: `count` of the table's, from `first`.
  size_t first;
  size_t count;
  // The text says all there is to say about each of them: masquerade, and every number in range.
  bool plain;
};

class TableParser {
 public:
  void Feed(std::span<const char> piece);
  // As new, but for the memory.
  void Clear();
  // Held, used or not.
  [[nodiscard]] size_t bytes() const {
    return services_.capacity() * sizeof(TableService) +
           destinations_.capacity() * sizeof(TableDestination);
  }
  // A last line without its end is no line.
  [[nodiscard]] const std::vector<TableService>& services() const { return services_; }
  [[nodiscard]] const std::vector<TableDestination>& destinations() const { return destinations_; }

 private:
  void Line(std::string_view line);
  void Service(std::string_view line);
  void Destination(std::string_view line);

  std::string rest_;
  bool skipping_ = false;
  bool within_ = false;
  std::vector<TableService> services_;
  std::vector<TableDestination> destinations_;
};

}  // namespace proxier::ipvs

#endif  // IPVS_PROXIER_IPVS_TABLE_TEXT_H_
