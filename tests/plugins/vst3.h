// The part of VST3's binary interface that an instrument without a window needs, written down anew for the tests' own synthesiser.
// Orders of methods, layouts of structures and identifiers are the interface itself; 64-bit Linux only.
#pragma once

#include <cstdint>
#include <cstring>

namespace vst3 {

using Result = int32_t;
constexpr Result no_interface = -1, ok = 0, no = 1, bad_argument = 2, not_implemented = 3;
using Id = char[16];
using Text = char16_t[128];

// Identifiers are four numbers, most significant byte first.
inline bool is(const char* id, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    const uint32_t parts[4] = {a, b, c, d};
    for (int i = 0; i < 16; ++i)
        if (static_cast<uint8_t>(id[i]) != ((parts[i / 4] >> (24 - 8 * (i % 4))) & 0xff)) return false;
    return true;
}

struct Unknown {
    virtual Result query(const Id id, void** found) = 0;
    virtual uint32_t add_ref() = 0;
    virtual uint32_t drop_ref() = 0;
};
inline bool is_unknown(const char* id) { return is(id, 0x00000000, 0x00000000, 0xC0000000, 0x00000046); }

struct Stream : Unknown {
    virtual Result read(void* bytes, int32_t wanted, int32_t* got) = 0;
    virtual Result write(void* bytes, int32_t given, int32_t* written) = 0;
    virtual Result seek(int64_t place, int32_t from, int64_t* reached) = 0;
    virtual Result tell(int64_t* place) = 0;
};

struct FactoryInfo {
    char vendor[64], url[256], email[128];
    int32_t flags;
};
struct ClassInfo {
    Id id;
    int32_t instances;
    char category[32], name[64];
};
struct ClassInfo2 {
    Id id;
    int32_t instances;
    char category[32], name[64];
    uint32_t flags;
    char kinds[128], vendor[64], version[64], sdk[64];
};
struct Factory : Unknown {
    virtual Result factory_info(FactoryInfo* info) = 0;
    virtual int32_t classes() = 0;
    virtual Result class_info(int32_t index, ClassInfo* info) = 0;
    virtual Result create(const char* id, const char* interface_id, void** made) = 0;
};
inline bool is_factory(const char* id) { return is(id, 0x7A4D811C, 0x52114A1F, 0xAED9D2EE, 0x0B43BF9F); }
struct Factory2 : Factory {
    virtual Result class_info2(int32_t index, ClassInfo2* info) = 0;
};
inline bool is_factory2(const char* id) { return is(id, 0x0007B650, 0xF24B4C0B, 0xA464EDB9, 0xF00B2ABB); }

struct Base : Unknown {
    virtual Result initialize(Unknown* host) = 0;
    virtual Result terminate() = 0;
};
inline bool is_base(const char* id) { return is(id, 0x22888DDB, 0x156E45AE, 0x8358B348, 0x08190625); }

enum Media { audio, events };
enum Direction { input, output };
struct BusInfo {
    int32_t media, direction, channels;
    Text name;
    int32_t kind;  // 0: main
    uint32_t flags;  // 1: active from the start
};
struct Component : Base {
    virtual Result controller_id(Id id) = 0;
    virtual Result set_io_mode(int32_t mode) = 0;
    virtual int32_t buses(int32_t media, int32_t direction) = 0;
    virtual Result bus_info(int32_t media, int32_t direction, int32_t index, BusInfo& bus) = 0;
    virtual Result routing(void* from, void* to) = 0;
    virtual Result activate_bus(int32_t media, int32_t direction, int32_t index, uint8_t on) = 0;
    virtual Result set_active(uint8_t on) = 0;
    virtual Result set_state(Stream* state) = 0;
    virtual Result get_state(Stream* state) = 0;
};
inline bool is_component(const char* id) { return is(id, 0xE831FF31, 0xF2D54301, 0x928EBBEE, 0x25697802); }

struct ParameterInfo {
    uint32_t id;
    Text title, short_title, units;
    int32_t steps;  // one less than there are values; 0: continuous
    double normal;
    int32_t unit, flags;  // 1: can be automated, 8: a list
};
struct Controller : Base {
    virtual Result set_component_state(Stream* state) = 0;
    virtual Result set_state(Stream* state) = 0;
    virtual Result get_state(Stream* state) = 0;
    virtual int32_t parameter_count() = 0;
    virtual Result parameter_info(int32_t index, ParameterInfo& info) = 0;
    virtual Result text_of(uint32_t id, double value, Text text) = 0;
    virtual Result value_of(uint32_t id, char16_t* text, double& value) = 0;
    virtual double to_plain(uint32_t id, double value) = 0;
    virtual double to_normal(uint32_t id, double plain) = 0;
    virtual double get(uint32_t id) = 0;
    virtual Result set(uint32_t id, double value) = 0;
    virtual Result set_handler(Unknown* handler) = 0;
    virtual void* create_view(const char* name) = 0;
};
inline bool is_controller(const char* id) { return is(id, 0xDCD7BBE3, 0x7742448D, 0xA874AACC, 0x979C759E); }

struct Setup {
    int32_t mode, sample_size, most_samples;
    double sample_rate;
};
struct Buffers {
    int32_t channels;
    uint64_t silent;
    float** samples;
};
struct NoteOn {
    int16_t channel, pitch;
    float tuning, velocity;
    int32_t length, id;
};
struct NoteOff {
    int16_t channel, pitch;
    float velocity;
    int32_t id;
    float tuning;
};
struct Event {
    int32_t bus, offset;
    double beat;
    uint16_t flags, kind;  // kind 0: note on, 1: note off
    union {
        NoteOn on;
        NoteOff off;
        struct { uint64_t words[3]; } widest;
    };
};
static_assert(sizeof(Event) == 48, "the host fills in this much");
struct EventList : Unknown {
    virtual int32_t count() = 0;
    virtual Result get(int32_t index, Event& event) = 0;
    virtual Result add(Event& event) = 0;
};
struct Queue : Unknown {
    virtual uint32_t id() = 0;
    virtual int32_t points() = 0;
    virtual Result point(int32_t index, int32_t& offset, double& value) = 0;
    virtual Result add(int32_t offset, double value, int32_t& index) = 0;
};
struct Changes : Unknown {
    virtual int32_t count() = 0;
    virtual Queue* queue(int32_t index) = 0;
    virtual Queue* add(const uint32_t& id, int32_t& index) = 0;
};
struct Block {
    int32_t mode, sample_size, samples, inputs, outputs;
    Buffers *in, *out;
    Changes *changes, *changes_out;
    EventList *events, *events_out;
    void* context;
};
struct Processor : Unknown {
    virtual Result set_arrangements(uint64_t* in, int32_t ins, uint64_t* out, int32_t outs) = 0;
    virtual Result arrangement(int32_t direction, int32_t index, uint64_t& speakers) = 0;
    virtual Result can_process(int32_t sample_size) = 0;
    virtual uint32_t latency() = 0;
    virtual Result set_up(Setup& setup) = 0;
    virtual Result set_processing(uint8_t on) = 0;
    virtual Result process(Block& block) = 0;
    virtual uint32_t tail() = 0;
};
inline bool is_processor(const char* id) { return is(id, 0x42043F99, 0xB7DA453C, 0xA569E79D, 0x9AAEC33D); }

}  // namespace vst3
