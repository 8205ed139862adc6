// Records of every operation, as lib/kernel/encode.ts writes them.
#ifndef IPVS_PROXIER_TEST_SAMPLES_H_
#define IPVS_PROXIER_TEST_SAMPLES_H_

#include <string_view>
#include <vector>

#include "native/wire.h"

namespace proxier::test {

inline constexpr uint8_t kFour[4] = {10, 96, 0, 10};
inline constexpr uint8_t kSix[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10};
inline std::span<const uint8_t> AddressOf(uint8_t family) {
  return family == 4 ? std::span<const uint8_t>(kFour) : std::span<const uint8_t>(kSix);
}

inline void Key(RecordWriter& writer, uint8_t family, uint8_t protocol) {
  writer.U8(family);
  writer.U8(protocol);
  writer.U16(protocol == 0 ? 0 : 8080);
  writer.U32(protocol == 0 ? 4711 : 0);
  writer.Address(protocol == 0 ? std::span<const uint8_t>() : AddressOf(family));
}

inline void Service(RecordWriter& writer, Opcode opcode, uint8_t family, uint8_t protocol,
                    uint32_t prefix) {
  writer.Begin(opcode);
  Key(writer, family, protocol);
  writer.U32(5);
  writer.U32(10800);
  writer.U32(prefix);
  writer.String("wrr");
  writer.String("sip");
  writer.End();
}

inline void ServiceId(RecordWriter& writer, Opcode opcode, uint8_t family) {
  writer.Begin(opcode);
  Key(writer, family, 6);
  writer.End();
}

inline void DestinationBody(RecordWriter& writer, uint8_t family) {
  writer.U8(family);
  writer.U8(3);
  writer.U16(9090);
  writer.U32(7);
  writer.U32(100);
  writer.U32(50);
  writer.Address(AddressOf(family));
}

inline void Destination(RecordWriter& writer, Opcode opcode, uint8_t family) {
  writer.Begin(opcode);
  Key(writer, family, 17);
  DestinationBody(writer, family);
  writer.End();
}

inline void DestinationId(RecordWriter& writer, Opcode opcode, uint8_t family) {
  writer.Begin(opcode);
  Key(writer, family, 17);
  writer.U8(family);
  writer.U8(0);
  writer.U16(9090);
  writer.Address(AddressOf(family));
  writer.End();
}

inline void Set(RecordWriter& writer, Opcode opcode, SetType type, uint8_t family) {
  writer.Begin(opcode);
  writer.U8(static_cast<uint8_t>(type));
  writer.U8(family);
  writer.U16(0);
  writer.U32(4096);
  writer.U32(70000);
  writer.String("KUBE-CLUSTER-IP");
  writer.End();
}

inline void Names(RecordWriter& writer, Opcode opcode, std::string_view name,
                  std::string_view other = {}) {
  writer.Begin(opcode);
  writer.String(name);
  if (!other.empty()) writer.String(other);
  writer.End();
}

inline void EntryBody(RecordWriter& writer, SetType type, uint8_t family) {
  const bool ports =
      type != SetType::kHashIp && type != SetType::kHashNet && type != SetType::kHashNetIface;
  const bool net = type == SetType::kHashNet || type == SetType::kHashNetIface ||
                   type == SetType::kHashIpPortNet;
  writer.U8(static_cast<uint8_t>(type));
  writer.U8(family);
  writer.U8(ports && type != SetType::kBitmapPort ? 132 : 0);
  writer.U8(net ? 24 : family == 4 ? 32 : 128);
  writer.U16(ports ? 80 : 0);
  writer.U16(0);
  if (type != SetType::kBitmapPort) writer.Address(AddressOf(family));
  if (type == SetType::kHashIpPortIp || type == SetType::kHashIpPortNet)
    writer.Address(AddressOf(family));
}

inline void Entry(RecordWriter& writer, Opcode opcode, SetType type, uint8_t family,
                  uint8_t flags) {
  writer.Begin(opcode, flags);
  EntryBody(writer, type, family);
  writer.String("KUBE-CLUSTER-IP");
  if (type == SetType::kHashNetIface) writer.String("eth0");
  writer.End();
}

inline void LinkAddress(RecordWriter& writer, Opcode opcode, uint8_t family,
                        std::string_view link) {
  writer.Begin(opcode);
  writer.U8(family);
  writer.U8(family == 4 ? 32 : 128);
  writer.U8(254);
  writer.U8(1);
  writer.Address(AddressOf(family));
  writer.String(link);
  writer.End();
}

inline constexpr SetType kSetTypes[] = {
    SetType::kHashIp,        SetType::kHashNet,      SetType::kHashIpPort, SetType::kHashIpPortIp,
    SetType::kHashIpPortNet, SetType::kHashNetIface, SetType::kBitmapPort};

// One record each.
inline std::vector<std::vector<uint8_t>> AllOperations() {
  std::vector<std::vector<uint8_t>> all;
  const auto add = [&](auto&& write) {
    std::vector<uint8_t> bytes;
    RecordWriter writer(bytes);
    write(writer);
    all.push_back(std::move(bytes));
  };
  for (const uint8_t family : {uint8_t{4}, uint8_t{6}}) {
    for (const Opcode opcode :
         {Opcode::kCreateService, Opcode::kUpdateService, Opcode::kEnsureService}) {
      add([&](RecordWriter& writer) { Service(writer, opcode, family, 6, 24); });
      add([&](RecordWriter& writer) { Service(writer, opcode, family, 0, 0); });
    }
    add([&](RecordWriter& writer) { ServiceId(writer, Opcode::kRemoveService, family); });
    for (const Opcode opcode :
         {Opcode::kCreateDestination, Opcode::kUpdateDestination, Opcode::kEnsureDestination}) {
      add([&](RecordWriter& writer) { Destination(writer, opcode, family); });
    }
    add([&](RecordWriter& writer) { DestinationId(writer, Opcode::kRemoveDestination, family); });
    for (const SetType type : kSetTypes) {
      add([&](RecordWriter& writer) { Set(writer, Opcode::kCreateSet, type, family); });
      add([&](RecordWriter& writer) { Set(writer, Opcode::kEnsureSet, type, family); });
      add([&](RecordWriter& writer) { Entry(writer, Opcode::kAddEntry, type, family, 0); });
      add([&](RecordWriter& writer) {
        Entry(writer, Opcode::kRemoveEntry, type, family, kEntryNomatch);
      });
    }
    add([&](RecordWriter& writer) {
      LinkAddress(writer, Opcode::kAddAddress, family, "kube-ipvs0");
    });
    add([&](RecordWriter& writer) {
      LinkAddress(writer, Opcode::kRemoveAddress, family, "kube-ipvs0");
    });
  }
  add([](RecordWriter& writer) { Names(writer, Opcode::kRemoveSet, "A"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kFlushSet, "A"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kSwapSets, "A", "B"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kEnsureLink, "kube-ipvs0"); });
  add([](RecordWriter& writer) { Names(writer, Opcode::kRemoveLink, "kube-ipvs0"); });
  return all;
}

}  // namespace proxier::test

#endif  // IPVS_PROXIER_TEST_SAMPLES_H_
