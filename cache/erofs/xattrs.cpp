#include "cache/erofs/xattrs.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "cache/erofs/format.h"
#include "metrics/status.h"

namespace burstlet::cache::erofs {
namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxValue = 65535;
constexpr std::size_t kMaxTotal = sizeof(XattrHeader) + 4 * 65534;  // the inode counts units of 4 in 16 bits

struct Item {
  std::uint8_t prefix;
  std::string_view name;
  std::string_view value;
};

absl::StatusOr<Item> Split(std::string_view name, std::string_view value) {
  for (const XattrPrefix& prefix : kXattrPrefixes) {
    const std::string_view text = prefix.text;
    if (name.substr(0, text.size()) != text) continue;
    const std::string_view rest = name.substr(text.size());
    // A prefix with a dot needs something behind it; the ACLs' names are whole.
    if (rest.empty() == (text.back() == '.')) continue;
    if (rest.size() > kMaxName || value.size() > kMaxValue || rest.find('\0') != std::string_view::npos) break;
    return Item{prefix.index, rest, value};
  }
  return absl::InvalidArgumentError(absl::StrCat("extended attribute \"", std::string(name), "\" of ", value.size(),
                                                 " bytes can't be stored in an image"));
}

template <typename T>
void AppendStruct(std::string* out, const T& value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

absl::StatusOr<std::string> EncodeXattrs(const Xattrs* list, bool opaque) {
  if (!opaque && (list == nullptr || list->empty())) return std::string();
  std::vector<Item> items;
  if (list != nullptr) {
    for (const auto& [name, value] : *list) {
      ASSIGN_OR_RETURN(const Item item, Split(name, value));
      items.push_back(item);
    }
  }
  if (opaque) {
    ASSIGN_OR_RETURN(const Item mark, Split("trusted.overlay.opaque", "y"));
    std::erase_if(items, [&](const Item& item) { return item.prefix == mark.prefix && item.name == mark.name; });
    items.push_back(mark);
  }
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return std::tie(a.prefix, a.name) < std::tie(b.prefix, b.name); });
  std::string out;
  AppendStruct(&out, XattrHeader{});
  for (const Item& item : items) {
    XattrEntry entry = {};
    entry.name_length = static_cast<std::uint8_t>(item.name.size());
    entry.prefix = item.prefix;
    entry.value_size = static_cast<std::uint16_t>(item.value.size());
    AppendStruct(&out, entry);
    out.append(item.name);
    out.append(item.value);
    out.resize((out.size() + 3) / 4 * 4, '\0');
  }
  if (out.size() > kMaxTotal) return absl::InvalidArgumentError("extended attributes of one file are over 256 KiB");
  return out;
}

}  // namespace burstlet::cache::erofs
