#include "sandbox/native/sandbox_state.h"

#include <optional>

#include "sandbox/native/plan_writer.h"
#include "sandbox/warden/plan.h"

namespace burstlet::sandbox {
namespace {

constexpr const char* kMagic = "burstlet sandbox 1";
constexpr std::uint64_t kMaxItems = 100000;

/// One description of the record for both directions, so that they can't differ.
template <typename Archive>
void Describe(Archive& archive, SandboxState& state);

class Encoder {
 public:
  template <typename T>
  void Number(T& value) {
    fields.Number(static_cast<std::uint64_t>(value));
  }
  void Text(std::string& value) { fields.Text(value); }
  template <typename T>
  void Optional(std::optional<T>& value) {
    std::uint64_t present = value.has_value() ? 1 : 0;
    Number(present);
    if constexpr (std::is_same_v<T, std::string>) {
      if (value.has_value()) Text(*value);
    } else {
      if (value.has_value()) Number(*value);
    }
  }
  template <typename T, typename Each>
  void List(std::vector<T>& list, Each each) {
    std::uint64_t size = list.size();
    Number(size);
    for (T& item : list) each(item);
  }
  bool ok() const { return true; }

  FieldWriter fields;
};

class Decoder {
 public:
  explicit Decoder(const std::string& bytes)
      : reader_(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) {}

  template <typename T>
  void Number(T& value) {
    value = static_cast<T>(reader_.Number());
  }
  void Text(std::string& value) {
    std::size_t size = 0;
    const char* text = reader_.Text(&size);
    value.assign(text, size);
  }
  template <typename T>
  void Optional(std::optional<T>& value) {
    std::uint64_t present = 0;
    Number(present);
    if (present != 1) return;
    T inner{};
    if constexpr (std::is_same_v<T, std::string>) {
      Text(inner);
    } else {
      Number(inner);
    }
    value = inner;
  }
  template <typename T, typename Each>
  void List(std::vector<T>& list, Each each) {
    std::uint64_t size = 0;
    Number(size);
    if (size > kMaxItems) bad_ = true;
    for (std::uint64_t i = 0; i < size && ok(); ++i) each(list.emplace_back());
  }
  bool ok() const { return reader_.ok() && !bad_; }
  bool done() const { return reader_.done(); }

 private:
  warden::FieldReader reader_;
  bool bad_ = false;
};

/// A map travels as a list of its pairs.
template <typename Archive, typename Map, typename Each>
void Pairs(Archive& archive, Map& map, Each each) {
  using Pair = std::pair<std::string, typename Map::mapped_type>;
  std::vector<Pair> pairs(map.begin(), map.end());
  archive.List(pairs, each);
  map = Map(pairs.begin(), pairs.end());
}

template <typename Archive>
void Describe(Archive& archive, Resources& resources) {
  archive.Optional(resources.cpu_shares);
  archive.Optional(resources.cpu_quota_us);
  archive.Optional(resources.cpu_period_us);
  archive.Optional(resources.memory_limit_bytes);
  archive.Optional(resources.memory_min_bytes);
  archive.Optional(resources.memory_low_bytes);
  archive.Optional(resources.memory_high_bytes);
  archive.Optional(resources.memory_swap_bytes);
  archive.Optional(resources.pids_limit);
  archive.Optional(resources.cpuset_cpus);
  Pairs(archive, resources.hugepage_limits, [&](auto& pair) {
    archive.Text(pair.first);
    archive.Number(pair.second);
  });
}

template <typename Archive>
void Describe(Archive& archive, VolumeSpec& volume) {
  archive.Text(volume.name);
  archive.Number(volume.source.kind);
  archive.Text(volume.source.path);
  archive.Number(volume.source.size_bytes);
  archive.Number(volume.source.page_size_bytes);
  archive.Number(volume.source.mode);
  archive.Optional(volume.source.gid);
  archive.List(volume.source.lower_dirs, [&](std::string& dir) { archive.Text(dir); });
}

template <typename Archive>
void Describe(Archive& archive, SandboxSpec& spec) {
  archive.Text(spec.id);
  archive.Text(spec.log_name);
  archive.Text(spec.hostname);
  archive.Text(spec.domainname);
  archive.Number(spec.host_network);
  archive.Number(spec.host_pid);
  archive.Number(spec.host_ipc);
  archive.Number(spec.share_process_namespace);
  archive.List(spec.user_namespace, [&](IdMap& map) {
    archive.Number(map.container_id);
    archive.Number(map.host_id);
    archive.Number(map.count);
  });
  archive.List(spec.sysctls, [&](auto& pair) {
    archive.Text(pair.first);
    archive.Text(pair.second);
  });
  archive.Number(spec.shm_size_bytes);
  archive.Number(spec.qos);
  Describe(archive, spec.resources);
  archive.List(spec.volumes, [&](VolumeSpec& volume) { Describe(archive, volume); });
  archive.List(spec.host_ports, [&](SandboxSpec::HostPort& port) {
    archive.Text(port.protocol);
    archive.Text(port.host_ip);
    archive.Number(port.host_port);
    archive.Number(port.container_port);
  });
  Pairs(archive, spec.labels, [&](auto& pair) {
    archive.Text(pair.first);
    archive.Text(pair.second);
  });
}

template <typename Archive>
void Describe(Archive& archive, SandboxState& state) {
  Describe(archive, state.spec);
  archive.Text(state.boot_id);
  archive.Number(state.warden_pid);
  archive.Number(state.created_at);
  archive.List(state.network.addresses, [&](std::string& address) { archive.Text(address); });
  archive.Text(state.network.host_interface);
}

}  // namespace

std::string EncodeState(const SandboxState& state) {
  SandboxState copy = state;
  Encoder encoder;
  std::string magic = kMagic;
  encoder.Text(magic);
  Describe(encoder, copy);
  return encoder.fields.bytes();
}

absl::StatusOr<SandboxState> DecodeState(const std::string& bytes) {
  Decoder decoder(bytes);
  std::string magic;
  decoder.Text(magic);
  if (!decoder.ok() || magic != kMagic) return absl::DataLossError("not a sandbox record of this version");
  SandboxState state;
  Describe(decoder, state);
  if (!decoder.ok() || !decoder.done()) return absl::DataLossError("sandbox record is cut or damaged");
  return state;
}

}  // namespace burstlet::sandbox
