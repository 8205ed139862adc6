#ifndef IPVS_PROXIER_ADDON_NETNS_H_
#define IPVS_PROXIER_ADDON_NETNS_H_

#include <cstdint>
#include <string>

namespace proxier {

// What EnterNetns says beside errnos.
inline constexpr int32_t kMainThread = -1;
inline constexpr int32_t kNotNamespace = -2;

// Moves the calling thread into the network namespace of this path, for good. 0, an errno, or one
// of the above; nothing has changed then. The main thread is refused: all that the process opens
// afterwards would be in that namespace.
int32_t EnterNetns(const std::string& path);

}  // namespace proxier

#endif  // IPVS_PROXIER_ADDON_NETNS_H_
