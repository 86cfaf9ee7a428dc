// A small polyphonic VST3 synthesiser for the tests: 20 parameters, stereo, the same samples for the same notes, and faults on demand.
// Build: g++ -std=c++17 -O2 -fPIC -shared -fvisibility=hidden small_synth.cpp -o SmallSynth.vst3/Contents/x86_64-linux/SmallSynth.so
// -DPSEUDO_PARAMETERS=2080 adds what some frameworks add: a parameter for each MIDI controller of each channel. -DCHANNELS=1: mono.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "vst3.h"

#ifndef PSEUDO_PARAMETERS
#define PSEUDO_PARAMETERS 0
#endif
#ifndef CHANNELS
#define CHANNELS 2
#endif

namespace {

constexpr double tau = 6.283185307179586;
constexpr int voices = 8, size = 20;

enum Name {
    osc1_wave, osc2_wave, osc2_octave, osc2_detune, osc_mix, noise, filter_type, cutoff, resonance, filter_env,
    attack, decay, sustain, release, lfo_wave, lfo_rate, lfo_depth, wide, gain, fault,
};
enum Fault { none, crash, hang, silence, not_a_number, random_phase, memory, leak };

struct Parameter {
    const char *title, *unit;
    double low, high, normal;  // normal in 0 … 1
    int steps;  // 0: continuous
    const char* labels;  // of the steps, by commas; null: numbers
};
const char* const waves = "sine,triangle,saw,square";
const Parameter parameters[size] = {
    {"Osc1 Wave", "", 0, 3, 2.0 / 3, 4, waves},
    {"Osc2 Wave", "", 0, 3, 1, 4, waves},
    {"Osc2 Octave", "", -2, 2, 0.5, 5, nullptr},
    {"Osc2 Detune", "ct", -50, 50, 0.5, 0, nullptr},
    {"Osc Mix", "", 0, 1, 0.3, 0, nullptr},
    {"Noise", "", 0, 1, 0, 0, nullptr},
    {"Filter Type", "", 0, 2, 0, 3, "low-pass,band-pass,high-pass"},
    {"Cutoff", "Hz", 40, 12000, 0.7, 0, nullptr},
    {"Resonance", "", 0, 1, 0.2, 0, nullptr},
    {"Filter Env", "oct", -4, 4, 0.6, 0, nullptr},
    {"Attack", "s", 0.001, 2, 0.1, 0, nullptr},
    {"Decay", "s", 0.005, 3, 0.4, 0, nullptr},
    {"Sustain", "", 0, 1, 0.6, 0, nullptr},
    {"Release", "s", 0.005, 3, 0.3, 0, nullptr},
    {"LFO Wave", "", 0, 2, 0, 3, "sine,triangle,square"},
    {"LFO Rate", "Hz", 0.1, 20, 0.3, 0, nullptr},
    {"LFO Depth", "st", 0, 1, 0.1, 0, nullptr},
    {"Wide", "", 0, 1, 1, 2, "off,on"},
    {"Gain", "", 0, 1, 0.7, 0, nullptr},
    {"Fault", "", 0, 7, 0, 8, "none,crash,hang,silence,not a number,random,memory,leak"},
};

int stepped(int id, double value) {
    const int steps = parameters[id].steps;
    return std::min(steps - 1, static_cast<int>(value * steps));
}

double plain(int id, double value) {
    const Parameter& one = parameters[id];
    if (one.steps) return one.low + stepped(id, value);
    const bool curved = id == cutoff || id == attack || id == decay || id == release || id == lfo_rate;
    return curved ? one.low * std::pow(one.high / one.low, value) : one.low + value * (one.high - one.low);
}

void copy(vst3::Text to, const std::string& from) {
    size_t i = 0;
    for (; i < from.size() && i < 127; ++i) to[i] = static_cast<unsigned char>(from[i]);
    to[i] = 0;
}

std::string text(int id, double value) {
    const Parameter& one = parameters[id];
    if (!one.labels) {
        char written[32];
        std::snprintf(written, sizeof written, one.steps ? "%.0f" : "%.3f", plain(id, value));
        return written;
    }
    std::string rest = one.labels;
    for (int i = stepped(id, value); i > 0; --i) rest = rest.substr(rest.find(',') + 1);
    return rest.substr(0, rest.find(','));
}

double wave(int shape, double phase) {
    switch (shape) {
        case 0: return std::sin(tau * phase);
        case 1: return 1 - 4 * std::fabs(phase - 0.5);
        case 2: return 2 * phase - 1;
        default: return phase < 0.5 ? 1 : -1;
    }
}

struct Voice {
    int pitch = -1;
    bool held = false;
    bool rising = false;
    int64_t age = 0;  // in samples
    double velocity = 0, level = 0, phase1 = 0, phase2 = 0, hz = 0, g = 0;
    uint32_t seed = 1;
    double state[2][2] = {{0, 0}, {0, 0}};  // of the filter, by channel

    void start(int note, double strength, double offset) {
        *this = Voice();
        pitch = note, velocity = strength, held = rising = true, phase1 = offset, seed = 1 + static_cast<uint32_t>(note);
    }
};

std::atomic<int> played{0};  // notes since the process began: what a badly written plug-in might forget to clear

class Synth final : public vst3::Component, public vst3::Processor, public vst3::Controller {
  public:
    Synth() {
        for (int i = 0; i < size; ++i) values_[i] = parameters[i].normal;
        std::puts("small synth: made"), std::fflush(stdout);  // plug-ins print, also where others speak
    }
    virtual ~Synth() = default;

    vst3::Result query(const vst3::Id id, void** found) override {
        if (vst3::is_component(id) || vst3::is_base(id) || vst3::is_unknown(id)) *found = static_cast<vst3::Component*>(this);
        else if (vst3::is_processor(id)) *found = static_cast<vst3::Processor*>(this);
        else if (vst3::is_controller(id)) *found = static_cast<vst3::Controller*>(this);
        else return *found = nullptr, vst3::no_interface;
        add_ref();
        return vst3::ok;
    }
    uint32_t add_ref() override { return ++references_; }
    uint32_t drop_ref() override {
        const uint32_t left = --references_;
        if (!left) delete this;
        return left;
    }

    vst3::Result initialize(vst3::Unknown*) override { return vst3::ok; }
    vst3::Result terminate() override { return vst3::ok; }
    vst3::Result controller_id(vst3::Id) override { return vst3::not_implemented; }  // one object is both
    vst3::Result set_io_mode(int32_t) override { return vst3::not_implemented; }
    int32_t buses(int32_t media, int32_t direction) override { return (media == vst3::audio) == (direction == vst3::output); }
    vst3::Result bus_info(int32_t media, int32_t direction, int32_t index, vst3::BusInfo& bus) override {
        if (index != 0 || !buses(media, direction)) return vst3::bad_argument;
        bus.media = media, bus.direction = direction, bus.channels = media == vst3::audio ? CHANNELS : 16, bus.kind = 0, bus.flags = 1;
        copy(bus.name, media == vst3::audio ? "Output" : "Notes");
        return vst3::ok;
    }
    vst3::Result routing(void*, void*) override { return vst3::not_implemented; }
    vst3::Result activate_bus(int32_t, int32_t, int32_t, uint8_t) override { return vst3::ok; }
    vst3::Result set_active(uint8_t on) override {
        if (on)
            for (Voice& voice : voices_) voice = Voice();
        return vst3::ok;
    }
    vst3::Result set_state(vst3::Stream* stream) override {
        double read[size];
        int32_t got = 0;
        if (stream->read(read, sizeof read, &got) != vst3::ok || got != sizeof read) return vst3::no;
        for (int i = 0; i < size; ++i) values_[i] = read[i];
        return vst3::ok;
    }
    vst3::Result get_state(vst3::Stream* stream) override {
        double written[size];
        for (int i = 0; i < size; ++i) written[i] = values_[i];
        return stream->write(written, sizeof written, nullptr);
    }

    vst3::Result set_arrangements(uint64_t*, int32_t ins, uint64_t* out, int32_t outs) override {
        return ins == 0 && outs == 1 && out[0] == speakers_ ? vst3::ok : vst3::no;
    }
    vst3::Result arrangement(int32_t direction, int32_t index, uint64_t& speakers) override {
        if (direction != vst3::output || index != 0) return vst3::bad_argument;
        speakers = speakers_;
        return vst3::ok;
    }
    vst3::Result can_process(int32_t sample_size) override { return sample_size == 0 ? vst3::ok : vst3::no; }
    uint32_t latency() override { return 0; }
    vst3::Result set_up(vst3::Setup& setup) override {
        rate_ = setup.sample_rate;
        return vst3::ok;
    }
    vst3::Result set_processing(uint8_t) override { return vst3::ok; }
    vst3::Result process(vst3::Block& block) override;
    uint32_t tail() override { return 0; }

    vst3::Result set_component_state(vst3::Stream*) override { return vst3::ok; }  // the same object has it already
    int32_t parameter_count() override { return size + PSEUDO_PARAMETERS; }
    vst3::Result parameter_info(int32_t index, vst3::ParameterInfo& info) override {
        if (index < 0 || index >= parameter_count()) return vst3::bad_argument;
        std::memset(&info, 0, sizeof info);
        info.id = static_cast<uint32_t>(index), info.flags = 1;
        if (index >= size) {
            const int at = index - size;
            copy(info.title, "MIDI Ch. " + std::to_string(at / 130 + 1) + " CC " + std::to_string(at % 130));
            return vst3::ok;
        }
        const Parameter& one = parameters[index];
        copy(info.title, one.title), copy(info.short_title, one.title), copy(info.units, one.unit);
        info.steps = one.steps ? one.steps - 1 : 0, info.normal = one.normal, info.flags |= one.labels && one.steps > 2 ? 8 : 0;
        return vst3::ok;
    }
    vst3::Result text_of(uint32_t id, double value, vst3::Text written) override {
        copy(written, id < size ? text(static_cast<int>(id), value) : std::to_string(static_cast<int>(value * 127)));
        return vst3::ok;
    }
    vst3::Result value_of(uint32_t, char16_t*, double&) override { return vst3::not_implemented; }
    double to_plain(uint32_t id, double value) override { return id < size ? plain(static_cast<int>(id), value) : value * 127; }
    double to_normal(uint32_t, double value) override { return value; }
    double get(uint32_t id) override { return id < size ? values_[id].load() : 0; }
    vst3::Result set(uint32_t id, double value) override {
        if (id < size) values_[id] = value;
        return vst3::ok;
    }
    vst3::Result set_handler(vst3::Unknown*) override { return vst3::ok; }
    void* create_view(const char*) override { return nullptr; }

  private:
    double value(int id) const { return plain(id, values_[id]); }
    int step(int id) const { return stepped(id, values_[id]); }
    void start(int pitch, double velocity);
    void render(float* left, float* right, int samples);
    void sound(Voice& voice, float* left, float* right, int samples);

    static constexpr uint64_t speakers_ = CHANNELS == 1 ? 1 << 19 : 3;  // the middle one, or left and right
    std::atomic<uint32_t> references_{1};
    std::atomic<double> values_[size];
    Voice voices_[voices];
    double rate_ = 44100;
};

void Synth::start(int pitch, double velocity) {
    double offset = 0;
    switch (step(fault)) {
        case crash: std::fprintf(stderr, "small synth: about to crash\n"), ::raise(SIGSEGV); break;
        case hang: for (;;) ::pause();
        case random_phase: offset = std::random_device{}() / 4294967296.0; break;
        case memory: offset = std::fmod(0.1 * played, 1.0); break;
        case leak: std::memset(std::malloc(1 << 21), 1, 1 << 21); break;  // never given back
    }
    ++played;
    Voice* chosen = &voices_[0];
    for (Voice& voice : voices_)
        if (voice.pitch < 0) { chosen = &voice; break; }
    chosen->start(pitch, velocity, offset);
}

void Synth::sound(Voice& voice, float* left, float* right, int samples) {
    const int shape1 = step(osc1_wave), shape2 = step(osc2_wave), kind = step(filter_type), shape3 = step(lfo_wave);
    const double rise = 1 / (value(attack) * rate_), fall = std::exp(-1 / (value(decay) * rate_)), end = std::exp(-1 / (value(release) * rate_));
    const double held_at = value(sustain), mix = value(osc_mix), spread = step(wide) ? 0.5 : 0, hiss_level = value(noise);
    const double level = 0.9 * value(gain) * voice.velocity, damping = 2 - 1.9 * value(resonance);
    const double ratio = std::exp2(value(osc2_octave) + value(osc2_detune) / 1200), per_sample = value(lfo_rate) / rate_;
    const double corner = value(cutoff), opening = value(filter_env), depth = value(lfo_depth);
    const double bad = step(fault) == not_a_number ? std::nan("") : 1, heard = step(fault) == silence ? 0 : 1;
    for (int i = 0; i < samples; ++i, ++voice.age) {
        if (voice.age % 16 == 0) {  // by the voice's own age, so that blocks of any size give the same samples
            const double bend = depth * wave(shape3 == 2 ? 3 : shape3, std::fmod(voice.age * per_sample, 1.0));
            voice.hz = 440 * std::exp2((voice.pitch - 69 + bend) / 12);
            voice.g = std::tan(tau / 2 * std::min(0.45, corner * std::exp2(opening * voice.level) / rate_));
        }
        voice.phase1 += voice.hz / rate_, voice.phase1 -= std::floor(voice.phase1);
        voice.phase2 += voice.hz * ratio / rate_, voice.phase2 -= std::floor(voice.phase2);
        voice.seed = voice.seed * 1664525u + 1013904223u;
        const double hiss = hiss_level * (voice.seed / 2147483648.0 - 1);
        const double first = (1 - mix) * wave(shape1, voice.phase1), second = mix * wave(shape2, voice.phase2);
        if (voice.rising) {
            voice.level += rise;
            if (voice.level >= 1) voice.level = 1, voice.rising = false;
        } else if (voice.held) voice.level = held_at + (voice.level - held_at) * fall;
        else voice.level *= end;
        const double g = voice.g, norm = 1 / (1 + g * (g + damping));  // the state-variable filter of Zavalishin (2012), always stable
        for (int side = 0; side < 2; ++side) {
            double* state = voice.state[side];
            const double dry = first * (side ? 1 - spread : 1) + second * (side ? 1 : 1 - spread) + hiss;
            const double band = (g * (dry - state[1]) + state[0]) * norm, low = state[1] + g * band;
            state[0] = 2 * band - state[0], state[1] = 2 * low - state[1];
            const double out = kind == 0 ? low : kind == 1 ? band : dry - damping * band - low;
            (side ? right : left)[i] += static_cast<float>(bad * heard * out * level * voice.level);
        }
    }
    if (!voice.held && voice.level < 1e-6) voice = Voice();
}

void Synth::render(float* left, float* right, int samples) {
    for (Voice& voice : voices_)
        if (voice.pitch >= 0) sound(voice, left, right, samples);
}

vst3::Result Synth::process(vst3::Block& block) {
    if (block.changes)
        for (int i = 0; i < block.changes->count(); ++i) {
            vst3::Queue* queue = block.changes->queue(i);
            int32_t offset = 0;
            double last = 0;
            if (queue && queue->points() && queue->point(queue->points() - 1, offset, last) == vst3::ok) set(queue->id(), last);
        }
    if (block.outputs < 1 || block.out[0].channels < CHANNELS || block.samples <= 0) return vst3::ok;
    std::vector<float> spare(CHANNELS == 1 ? static_cast<size_t>(block.samples) : 0);
    float *left = block.out[0].samples[0], *right = CHANNELS == 1 ? spare.data() : block.out[0].samples[1];
    std::memset(left, 0, sizeof(float) * static_cast<size_t>(block.samples));
    std::memset(right, 0, sizeof(float) * static_cast<size_t>(block.samples));
    int done = 0;
    for (int i = 0; block.events && i < block.events->count(); ++i) {
        vst3::Event event;
        if (block.events->get(i, event) != vst3::ok) continue;
        const int at = std::max(done, std::min(event.offset, block.samples));
        render(left + done, right + done, at - done);
        done = at;
        if (event.kind == 0 && event.on.velocity > 0) start(event.on.pitch, event.on.velocity);
        else if (event.kind <= 1)
            for (Voice& voice : voices_)
                if (voice.pitch == (event.kind ? event.off.pitch : event.on.pitch)) voice.held = voice.rising = false;
    }
    render(left + done, right + done, block.samples - done);
    for (int i = 0; CHANNELS == 1 && i < block.samples; ++i) left[i] = (left[i] + right[i]) / 2;
    block.out[0].silent = 0;
    return vst3::ok;
}

const unsigned char identifier[16] = {'s', 'y', 'n', 't', 'h', 'l', 'o', 'o', 'm', '-', 's', 'm', 'a', 'l', 'l', '1'};

class Shop final : public vst3::Factory2 {
  public:
    vst3::Result query(const vst3::Id id, void** found) override {
        const bool known = vst3::is_unknown(id) || vst3::is_factory(id) || vst3::is_factory2(id);
        *found = known ? static_cast<vst3::Factory2*>(this) : nullptr;
        return known ? vst3::ok : vst3::no_interface;
    }
    uint32_t add_ref() override { return 1; }  // lives as long as the library
    uint32_t drop_ref() override { return 1; }
    vst3::Result factory_info(vst3::FactoryInfo* info) override {
        std::memset(info, 0, sizeof *info);
        std::strcpy(info->vendor, "synthloom");
        info->flags = 16;  // Unicode
        return vst3::ok;
    }
    int32_t classes() override { return 1; }
    vst3::Result class_info(int32_t index, vst3::ClassInfo* info) override {
        if (index) return vst3::bad_argument;
        std::memset(info, 0, sizeof *info);
        fill(*info);
        return vst3::ok;
    }
    vst3::Result class_info2(int32_t index, vst3::ClassInfo2* info) override {
        if (index) return vst3::bad_argument;
        std::memset(info, 0, sizeof *info);
        fill(*info);
        std::strcpy(info->kinds, "Instrument|Synth");
        std::strcpy(info->vendor, "synthloom");
        std::strcpy(info->version, "1.0.0");
        std::strcpy(info->sdk, "VST 3.7");
        return vst3::ok;
    }
    vst3::Result create(const char* id, const char* interface_id, void** made) override {
        *made = nullptr;
        if (std::memcmp(id, identifier, 16) != 0) return vst3::bad_argument;
        auto* synth = new Synth;
        const vst3::Result result = synth->query(interface_id, made);
        static_cast<vst3::Component*>(synth)->drop_ref();
        return result;
    }

  private:
    template <class Info> static void fill(Info& info) {
        std::memcpy(info.id, identifier, 16);
        info.instances = 0x7FFFFFFF;
        std::strcpy(info.category, "Audio Module Class");
        std::strcpy(info.name, "Small Synth");
    }
};
Shop shop;

}  // namespace

extern "C" {
__attribute__((visibility("default"))) void* GetPluginFactory() { return static_cast<vst3::Factory*>(&shop); }
__attribute__((visibility("default"))) bool ModuleEntry(void*) { return true; }
__attribute__((visibility("default"))) bool ModuleExit() { return true; }
}
