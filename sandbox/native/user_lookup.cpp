#include "sandbox/native/user_lookup.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "metrics/status.h"
#include "sandbox/os/safe_path.h"

namespace burstlet::sandbox {
namespace {

constexpr std::size_t kMaxDatabase = 4 << 20;  // CVE-2026-47262: an image's group file has no natural end
constexpr std::int64_t kMaxId = 2147483647;    // CVE-2024-40635: beyond it numbers wrapped to root elsewhere
constexpr std::size_t kMaxGroups = 65536;

absl::Status UserError(const std::string& message) {
  return ReasonError(absl::StatusCode::kInvalidArgument, "CreateContainerError", message);
}

struct Entry {
  std::vector<std::string> fields;
  std::int64_t Number(std::size_t index) const {
    std::int64_t value = -1;
    if (index >= fields.size() || !absl::SimpleAtoi(fields[index], &value) || value < 0 || value > kMaxId) return -1;
    return value;
  }
};

/// The first line for which `matches` holds.
template <typename Matches>
std::optional<Entry> Find(const std::string& database, std::size_t fields, Matches matches) {
  for (absl::string_view line : absl::StrSplit(database, '\n', absl::SkipEmpty())) {
    if (line.empty() || line[0] == '#') continue;
    Entry entry{absl::StrSplit(line, ':')};
    if (entry.fields.size() < fields) continue;
    if (matches(entry)) return entry;
  }
  return std::nullopt;
}

absl::StatusOr<std::uint32_t> CheckedId(std::int64_t id, const char* what) {
  if (id < 0 || id > kMaxId) return UserError(absl::StrCat(what, " ", id, " is out of range"));
  return static_cast<std::uint32_t>(id);
}

absl::StatusOr<std::uint32_t> FindGroup(const std::string& name, const std::string& group) {
  std::optional<Entry> entry = Find(group, 3, [&](const Entry& e) { return e.fields[0] == name && e.Number(2) >= 0; });
  if (entry.has_value()) return static_cast<std::uint32_t>(entry->Number(2));
  std::int64_t number = 0;
  if (absl::SimpleAtoi(name, &number)) return CheckedId(number, "group");
  return UserError(absl::StrCat("unable to find group ", name, ": no matching entries in group file"));
}

void AddGroup(std::vector<std::uint32_t>& groups, std::uint32_t gid) {
  if (groups.size() < kMaxGroups && std::find(groups.begin(), groups.end(), gid) == groups.end()) groups.push_back(gid);
}

}  // namespace

absl::StatusOr<ResolvedUser> ResolveUser(const UserSpec& user, const std::string& passwd, const std::string& group) {
  ResolvedUser resolved;
  std::pair<std::string, std::string> image = absl::StrSplit(user.image_user, absl::MaxSplits(':', 1));
  std::string user_name = user.uid.has_value() ? absl::StrCat(*user.uid) : image.first;
  std::optional<Entry> entry;
  std::int64_t number = 0;
  bool numeric = absl::SimpleAtoi(user_name, &number);
  if (user_name.empty()) {
    entry = Find(passwd, 4, [](const Entry& e) { return e.Number(2) == 0; });
  } else if (numeric) {
    ASSIGN_OR_RETURN(resolved.uid, CheckedId(number, "user"));
    entry = Find(passwd, 4, [&](const Entry& e) { return e.Number(2) == number; });
  } else {
    entry = Find(passwd, 4, [&](const Entry& e) { return e.fields[0] == user_name && e.Number(2) >= 0; });
    if (!entry.has_value())
      return UserError(absl::StrCat("unable to find user ", user_name, ": no matching entries in passwd file"));
    resolved.uid = static_cast<std::uint32_t>(entry->Number(2));
  }
  if (entry.has_value()) {
    if (entry->Number(3) >= 0) resolved.gid = static_cast<std::uint32_t>(entry->Number(3));
    if (entry->fields.size() > 5 && !entry->fields[5].empty() && entry->fields[5][0] == '/')
      resolved.home = entry->fields[5];
  }
  if (user.gid.has_value()) {
    ASSIGN_OR_RETURN(resolved.gid, CheckedId(*user.gid, "group"));
  } else if (!user.uid.has_value() && !image.second.empty()) {
    ASSIGN_OR_RETURN(resolved.gid, FindGroup(image.second, group));
  }
  AddGroup(resolved.groups, resolved.gid);
  // A group named in the image's USER stands alone (docker's rule): no memberships are added then.
  bool members = user.merge_image_groups && entry.has_value() &&
                 (user.uid.has_value() || user.gid.has_value() || image.second.empty());
  if (members) {
    Find(group, 4, [&](const Entry& e) {
      std::vector<std::string> names = absl::StrSplit(e.fields[3], ',');
      if (e.Number(2) >= 0 && std::find(names.begin(), names.end(), entry->fields[0]) != names.end())
        AddGroup(resolved.groups, static_cast<std::uint32_t>(e.Number(2)));
      return false;
    });
  }
  for (std::int64_t gid : user.supplemental_groups) {
    ASSIGN_OR_RETURN(std::uint32_t checked, CheckedId(gid, "supplemental group"));
    AddGroup(resolved.groups, checked);
  }
  return resolved;
}

absl::StatusOr<ResolvedUser> LookUpUser(const UserSpec& user, int root) {
  std::string texts[2];
  const char* names[2] = {"etc/passwd", "etc/group"};
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<std::string> text = ReadFileInRoot(root, names[i], kMaxDatabase);
    if (text.ok()) {
      texts[i] = *std::move(text);
    } else if (ErrnoOf(text.status()) == 0) {
      return WithReason(Annotate(text.status(), absl::StrCat("user database /", names[i])), "CreateContainerError");
    }
  }
  return ResolveUser(user, texts[0], texts[1]);
}

}  // namespace burstlet::sandbox
