#include "sandbox/os/device_filter.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "metrics/status.h"

namespace burstlet::sandbox {
namespace {

using Program = std::vector<std::uint64_t>;

std::uint64_t Instruction(std::uint8_t code, std::uint8_t target, std::uint8_t source, std::int16_t offset,
                          std::int32_t value) {
  bpf_insn instruction{};
  instruction.code = code;
  instruction.dst_reg = target & 0xf;
  instruction.src_reg = source & 0xf;
  instruction.off = offset;
  instruction.imm = value;
  std::uint64_t raw;
  static_assert(sizeof(raw) == sizeof(instruction));
  std::memcpy(&raw, &instruction, sizeof(raw));
  return raw;
}

std::int32_t AccessBits(const std::string& access) {
  std::int32_t bits = 0;
  if (access.find('m') != std::string::npos) bits |= BPF_DEVCG_ACC_MKNOD;
  if (access.find('r') != std::string::npos) bits |= BPF_DEVCG_ACC_READ;
  if (access.find('w') != std::string::npos) bits |= BPF_DEVCG_ACC_WRITE;
  return bits;
}

/// The rule's tests, each jumping over what is left of the rule, then "allowed".
Program AssembleRule(const DeviceRule& rule) {
  struct Test {
    std::uint8_t reg;
    std::int32_t value;
    bool subset;  // of the allowed access bits, in place of equality
  };
  std::vector<Test> tests;
  if (rule.type != 'a') tests.push_back({2, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, false});
  if (AccessBits(rule.access) != 7) tests.push_back({3, AccessBits(rule.access), true});
  if (rule.major >= 0) tests.push_back({4, static_cast<std::int32_t>(rule.major), false});
  if (rule.minor >= 0) tests.push_back({5, static_cast<std::int32_t>(rule.minor), false});
  std::size_t size = 2;
  for (const Test& test : tests) size += test.subset ? 3 : 1;
  Program program;
  for (const Test& test : tests) {
    if (test.subset) {
      program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, 6, test.reg, 0, 0));
      program.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, 6, 0, 0, test.value));
    }
    auto over = static_cast<std::int16_t>(size - program.size() - 1);
    if (test.subset) {
      program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_X, 6, test.reg, over, 0));
    } else {
      program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, test.reg, 0, over, test.value));
    }
  }
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return program;
}

long Bpf(int command, bpf_attr& attributes) { return ::syscall(SYS_bpf, command, &attributes, sizeof(attributes)); }

}  // namespace

std::vector<DeviceRule> DefaultDeviceRules() {
  return {
      {'c', -1, -1, "m"}, {'b', -1, -1, "m"},     // nodes may be made (CAP_MKNOD), not opened
      {'c', 1, 3, "rwm"}, {'c', 1, 5, "rwm"},     // null, zero
      {'c', 1, 7, "rwm"}, {'c', 1, 8, "rwm"},     // full, random
      {'c', 1, 9, "rwm"}, {'c', 5, 0, "rwm"},     // urandom, tty
      {'c', 5, 2, "rwm"}, {'c', 136, -1, "rwm"},  // ptmx, its terminals
  };
}

std::string FormatDeviceRule(const DeviceRule& rule) {
  auto number = [](std::int64_t value) { return value < 0 ? std::string("*") : absl::StrCat(value); };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor), " ", rule.access);
}

std::vector<std::uint64_t> AssembleDeviceProgram(const std::vector<DeviceRule>& rules) {
  Program program;
  // r2 = kind of device, r3 = wanted access, r4 = major, r5 = minor
  program.push_back(Instruction(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0));
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0));
  program.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff));
  program.push_back(Instruction(BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16));
  program.push_back(Instruction(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0));
  program.push_back(Instruction(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0));
  for (const DeviceRule& rule : rules) {
    Program part = AssembleRule(rule);
    program.insert(program.end(), part.begin(), part.end());
  }
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0));
  program.push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return program;
}

absl::StatusOr<UniqueFd> LoadDeviceProgram(const std::vector<DeviceRule>& rules) {
  Program program = AssembleDeviceProgram(rules);
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  static const char license[] = "Apache-2.0";
  attributes.license = reinterpret_cast<std::uintptr_t>(license);
  UniqueFd fd(static_cast<int>(Bpf(BPF_PROG_LOAD, attributes)));
  if (!fd.valid()) return ErrnoError(errno, "load device program");
  return fd;
}

absl::Status AttachDeviceProgram(int cgroup_fd, int program_fd) {
  bpf_attr attributes{};
  attributes.target_fd = static_cast<std::uint32_t>(cgroup_fd);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(program_fd);
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, attributes) != 0) return ErrnoError(errno, "attach device program");
  return absl::OkStatus();
}

}  // namespace burstlet::sandbox
